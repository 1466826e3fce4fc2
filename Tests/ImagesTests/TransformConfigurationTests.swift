import Foundation
import Images
import Testing

/// Configurations from files: refused with a sentence, never with a crash.
@Suite struct TransformConfigurationTests {
  private func timm(_ json: String) throws -> EvaluationTransform {
    try EvaluationTransform(
      timm: JSONDecoder().decode(TimmPretrainedConfiguration.self, from: Data(json.utf8)))
  }

  private func huggingFace(_ json: String) throws -> EvaluationTransform {
    try EvaluationTransform(
      huggingFace: JSONDecoder().decode(HuggingFacePreprocessorConfiguration.self, from: Data(json.utf8)))
  }

  private func failure(_ body: () throws -> EvaluationTransform) -> TransformConfigurationError? {
    do {
      _ = try body()
      return nil
    } catch {
      return error as? TransformConfigurationError
    }
  }

  @Test(arguments: [
    ("input_size", #"{"input_size": [3, 0, 224]}"#),
    ("input_size", #"{"input_size": [4, 224, 224]}"#),
    ("input_size", #"{"input_size": [3, 224]}"#),
    ("input_size", #"{"input_size": [3, 224.5, 224]}"#),
    ("input_size", #"{"input_size": [3, 1e300, 224]}"#),
    ("input_size", #"{"input_size": [3, -9223372036854775808, 224]}"#),
    ("input_size", #"{"input_size": "224"}"#),
    ("crop_pct", #"{"crop_pct": -0.5}"#),
    ("crop_pct", #"{"crop_pct": 1e-300}"#),
    ("crop_pct", #"{"crop_pct": 1e300}"#),
    ("crop_pct", #"{"crop_pct": "0.9"}"#),
    ("crop_mode", #"{"crop_mode": "middle"}"#),
    ("interpolation", #"{"interpolation": "random"}"#),
    ("mean", #"{"mean": [0.5, 0.5]}"#),
    ("mean", #"{"mean": [0.5, 0.5, 1e300]}"#),
    ("std", #"{"std": [0.5, 0, 0.5]}"#),
    ("std", #"{"std": [0.5, -1, 0.5]}"#),
    ("std", #"{"std": [0.5, 1e-300, 0.5]}"#),
  ])
  func `timm's values are checked`(field: String, json: String) {
    #expect(failure { try timm(json) }?.field == field, "\(json)")
  }

  @Test(arguments: [
    ("size", #"{"size": 0}"#),
    ("size", #"{"size": -224}"#),
    ("size", #"{"size": 1e18}"#),
    ("size", #"{"size": 1e19}"#),
    ("size", #"{"size": 224.5}"#),
    ("size", #"{"size": "224"}"#),
    ("size", #"{"size": [224]}"#),
    ("size", #"{"size": {}}"#),
    ("size", #"{"size": {"height": 224}}"#),
    ("size", #"{"size": {"longest_edge": 224}}"#),
    ("size", #"{"size": {"height": 100000, "width": 224}}"#),
    ("height", #"{"size": {"height": true, "width": 224}}"#),
    ("do_center_crop", #"{"size": {"shortest_edge": 224}}"#),
    ("do_center_crop", #"{"do_resize": false}"#),
    ("crop_size", #"{"do_center_crop": true, "crop_size": {"shortest_edge": 224}}"#),
    ("crop_size", #"{"do_center_crop": true, "crop_size": 0}"#),
    ("resample", #"{"resample": 6}"#),
    ("resample", #"{"resample": "bicubic"}"#),
    ("rescale_factor", #"{"rescale_factor": 0}"#),
    ("rescale_factor", #"{"rescale_factor": 1e300}"#),
    ("image_mean", #"{"image_mean": [0.5, 0.5]}"#),
    ("image_std", #"{"image_std": 0}"#),
    ("image_std", #"{"image_std": ["a"]}"#),
    ("do_resize", #"{"do_resize": 1}"#),
    ("do_pad", #"{"do_pad": true}"#),
    ("image_processor_type", #"{"image_processor_type": "ConvNextImageProcessor"}"#),
  ])
  func `transformers' values are checked`(field: String, json: String) {
    #expect(failure { try huggingFace(json) }?.field == field, "\(json)")
  }

  @Test func `the message names field, value and choice`() {
    #expect(
      failure { try timm(#"{"interpolation": "random"}"#) }?.description == """
        preprocessing: interpolation must be one of nearest, box, bilinear, hamming, bicubic, lanczos, not "random"
        """)
    #expect(
      failure { try huggingFace(#"{"resample": 9}"#) }?.description == """
        preprocessing: resample must be 0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic), 4 (box) or 5 (hamming), \
        not 9
        """)
  }

  @Test func `null and unknown fields are ignored`() throws {
    let plain = try timm("{}")
    #expect(try timm(#"{"crop_pct": null, "crop_mode": "", "num_classes": 1000, "mean": []}"#) == plain)
    let vit = try huggingFace("{}")
    #expect(try huggingFace(#"{"size": null, "do_resize": null, "crop_pct": 7, "image_std": null}"#) == vit)
    #expect(vit.resizing == .exactly(ImageSize(224)) && vit.interpolation == .bilinear)
  }

  @Test func `configurations survive a round trip`() throws {
    let timm = TimmPretrainedConfiguration(
      inputSize: [3, 384, 384], interpolation: "bicubic", cropFraction: 1, cropMode: "squash",
      mean: [0.5, 0.5, 0.5])
    let again = try JSONDecoder().decode(
      TimmPretrainedConfiguration.self, from: JSONEncoder().encode(timm))
    #expect(again == timm)
    for size: HuggingFacePreprocessorConfiguration.Size in [
      .edge(224), .exactly(ImageSize(height: 3, width: 4)), .shortestEdge(5),
      .shortestEdgeWithin(shortest: 6, longest: 7),
    ] {
      var configuration = HuggingFacePreprocessorConfiguration()
      configuration.size = size
      configuration.resample = 3
      let again = try JSONDecoder().decode(
        HuggingFacePreprocessorConfiguration.self, from: JSONEncoder().encode(configuration))
      #expect(again == configuration)
    }
  }
}
