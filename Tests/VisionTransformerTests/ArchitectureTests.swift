import Checkpoints
import Images
import TestSupport
import Testing
import VisionTransformer

/// timm's table, and what is made of it where a checkpoint does not name its architecture.
@Suite struct ArchitectureTests {
  @Test func table() throws {
    let table = TimmArchitectures.table
    #expect(table.names.count == 193)
    for name in table.names {
      let entry = try table.entry(name)
      let (width, heads) = (entry.arguments["embed_dim"]?.int ?? 0, entry.arguments["num_heads"]?.int ?? 0)
      #expect(heads > 0 && width > 0 && width.isMultiple(of: heads), "\(name)")
      #expect(
        entry.arguments["depth"]?.int ?? 0 > 0 && entry.arguments["norm_layer"]?["eps"]?.double ?? 0 > 0,
        "\(name)")
      #expect(
        entry.pretrained["input_size"]?.array?.count == 3 && entry.pretrained["mean"]?.array?.count == 3,
        "\(name)")
    }
  }

  @Test func tagsAndAliases() throws {
    let table = TimmArchitectures.table
    #expect(try table.entry("vit_base_patch16_224.bamboo").pretrained["crop_pct"]?.double == 1)
    #expect(try table.entry("vit_base_patch16_224").pretrained["crop_pct"]?.double == 0.9)
    #expect(try table.entry("vit_base_patch16_224_in21k").name == "vit_base_patch16_224")
    #expect(try table.entry("deit_small_distilled_patch16_224").isDistilled)
  }

  /// A file on its own whose shapes are those of one of timm's architectures is read as that.
  @Test(arguments: ["timm-token", "timm-clip", "timm-map"]) func widthsOfNoArchitecture(_ name: String) throws
  {
    let folder = try TemporaryFolder()
    let file = try folder.copy(
      Fixtures.models.appending("\(name)/model.safetensors"), to: "alone.safetensors")
    let model = try VisionTransformer(Checkpoint(file))
    #expect(model.configuration.numHeads == 1 && model.family == nil)
    #expect(
      model.warnings.contains { $0.contains("the number of heads is not in the file; assumed 1 head of") })
    #expect(model.warnings.contains { $0.contains("the preprocessing is not in the checkpoint") })
  }
}
