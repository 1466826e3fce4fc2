import ArgumentParser
import VisionTransformer

/// What the classes are called, where the user knows better.
struct LabelsOption: ParsableArguments {
  @Option(
    name: .customLong("labels"),
    help: ArgumentHelp(
      "Names of the model's classes: one a line, or JSON (default: the checkpoint's own; ImageNet's for 1000 classes).",
      valueName: "FILE"))
  var file: PathArgument?

  var source: VisionTransformer.Options.LabelSource { file.map { .file($0.path) } ?? .checkpoint }
}
