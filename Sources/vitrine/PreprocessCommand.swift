import ArgumentParser
import Images
import Pipeline
import SystemPackage

struct Preprocess: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "preprocess",
    abstract:
      "Write exactly what the network is fed: float32 [3, height, width], or [1, height, width] for grey.")

  @Argument(help: ArgumentHelp("The image.", valueName: "image"))
  var image: PathArgument

  @OptionGroup var model: ModelOptions

  @Option(name: .long, help: ArgumentHelp("The array.", valueName: "FILE.npy"))
  var output: FileArgument

  func run() throws {
    let model = try self.model.load(run: nil, terminal: Terminal(quiet: false))
    try self.model.checkOutputs([output.path], model, inputs: [image])
    let tensor: [Float]
    do {
      let image = try DecodedImage(
        contentsOf: self.image.path, options: self.model.preprocessing.decoding, for: model.transform)
      tensor = try model.transform.tensor(image)
    } catch {
      throw ImageFailure(path: image.path.string, error: error)
    }
    let size = model.transform.size
    try NumpyFile.write(tensor, shape: [model.transform.channels, size.height, size.width], to: output.path)
  }
}

/// An image's error with its path in front.
struct ImageFailure: Error, CustomStringConvertible {
  let path: String
  let error: ImageError

  var description: String { "\(path.visible): \(error)" }
}
