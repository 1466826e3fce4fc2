import ArgumentParser
import Kernels

/// The command line: options in, calls into the library, results and exit status out.
@main
struct Vitrine: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vitrine",
    abstract: "Vision Transformers on CPUs.",
    discussion: """
      MODEL is a folder in the Hugging Face layout (config.json and model.safetensors, or shards with \
      model.safetensors.index.json), or a file: .safetensors, .npz, .pth, .pt or .bin.

      Exit status: 0 all inputs were processed; 1 the run was stopped by an error; 2 the run finished, but some inputs \
      failed; 64 wrong usage; 130 interrupted.
      """,
    version: "0.1.0",
    subcommands: [
      Classify.self, Embed.self, Evaluate.self, Preprocess.self, Inspect.self, Convert.self, Quantize.self,
      Train.self, Bench.self, Attention.self, Distances.self, Plot.self, Positions.self, Filters.self,
    ])

  static func main() {
    StandardStreams.fill()
    Heap.shareAmongThreads()
    Crashes.explain()
    Signals.ignoreFailuresOfWriting()
    main(CommandLineBytes.arguments)
  }
}
