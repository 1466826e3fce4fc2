import SystemPackage

/// A trained model on disk: its tensors, and the configuration files beside them.
///
/// A folder in the Hugging Face layout (`config.json`, `model.safetensors` or `pytorch_model.bin` or the index of their shards,
/// optional `processor_config.json` or `preprocessor_config.json`), a folder with one file of weights of any name, or a file on its own. A file with one of
/// these names brings the configuration of its folder along. Its contents say what kind it is.
public struct Checkpoint: Sendable {
  /// The folder or file as it was given.
  public let path: FilePath
  public let container: any TensorContainer
  /// How the weights were quantised; nil where they are not.
  public let quantization: QuantizationScheme?
  /// `config.json`, where there is one.
  public let configuration: JSONValue?
  /// What transformers' image processor is to do, where a file says so: `image_processor` of `processor_config.json`, in which version
  /// 5 saves all processors of a model, else `preprocessor_config.json`.
  public let preprocessorConfiguration: JSONValue?
  /// Where `config.json` is or would be.
  public let configurationPath: FilePath
  /// Where the image processor's configuration is or would be.
  public let preprocessorConfigurationPath: FilePath

  /// The weights of the Hugging Face layout, in the order in which they are looked for.
  private static let usualNames = [
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
  ]
  /// What files of weights are called otherwise.
  private static let endings = [".safetensors", ".npz", ".pth", ".pt", ".bin", ".ckpt", ".pth.tar"]

  /// What the files are held to.
  package let limits: FileLimits

  /// Opens a folder or a file.
  /// - Parameter limits: what its files are held to.
  /// - Throws: `CheckpointError` where nothing readable is there.
  public init(_ path: FilePath, limits: FileLimits = .standard) throws(CheckpointError) {
    self.path = path
    self.limits = limits
    let folder: FilePath
    let stored: any TensorContainer
    if FileSystem.isDirectory(path) {
      folder = path
      stored = try Self.openFolder(path, limits)
    } else {
      folder = path.removingLastComponent()
      stored = try Self.openFile(path, limits)
    }
    let quantized = try QuantizedTensors(stored)
    quantization = try quantized?.scheme()
    container = quantized ?? stored
    // A single file takes the configuration beside it only where the two belong together by name.
    let belongs = folder == path || path.lastComponent.map { Self.usualNames.contains($0.string) } ?? false
    configurationPath = folder.appending("config.json")
    configuration = belongs ? try JSONFile.document(at: configurationPath, limits: limits) : nil
    let processors = folder.appending("processor_config.json")
    if belongs, let nested = try JSONFile.document(at: processors, limits: limits)?["image_processor"] {
      (preprocessorConfiguration, preprocessorConfigurationPath) = (nested, processors)
    } else {
      preprocessorConfigurationPath = folder.appending("preprocessor_config.json")
      preprocessorConfiguration =
        belongs ? try JSONFile.document(at: preprocessorConfigurationPath, limits: limits) : nil
    }
  }

  /// Tensors that are not a file's.
  /// - Parameters:
  ///   - path: stands for them in messages.
  ///   - configuration: what `config.json` would hold.
  ///   - preprocessor: what `preprocessor_config.json` would hold.
  package init(
    _ container: any TensorContainer, path: FilePath, configuration: JSONValue? = nil,
    preprocessor: JSONValue? = nil
  ) {
    (self.container, self.path, limits) = (container, path, .standard)
    quantization = nil
    (self.configuration, preprocessorConfiguration) = (configuration, preprocessor)
    configurationPath = path.appending("config.json")
    preprocessorConfigurationPath = path.appending("preprocessor_config.json")
  }

  private static func openFolder(
    _ folder: FilePath, _ limits: FileLimits
  ) throws(CheckpointError) -> any TensorContainer {
    for name in usualNames where FileSystem.exists(folder.appending(name)) {
      return try openFile(folder.appending(name), limits)
    }
    let names = try FileSystem.files(in: folder, endings: endings)
    guard let name = names.first else {
      throw .noWeights(
        folder: folder, expected: usualNames + ["one file that ends in \(endings.joined(separator: " or "))"],
        inside: try FileSystem.folders(in: folder).filter { inside in
          usualNames.contains { FileSystem.exists(folder.appending(inside).appending($0)) }
        })
    }
    guard names.count == 1 else { throw .severalWeights(folder: folder, names: names) }
    return try openFile(folder.appending(name), limits)
  }

  private static func openFile(
    _ path: FilePath, _ limits: FileLimits
  ) throws(CheckpointError) -> any TensorContainer {
    path.lastComponent?.string.hasSuffix(".index.json") == true
      ? try ShardedFiles(index: path, limits: limits) : try openByContents(path, limits)
  }

  /// Opens a file that is a container itself; which, its contents say.
  static func openByContents(
    _ path: FilePath, _ limits: FileLimits
  ) throws(CheckpointError) -> any TensorContainer {
    let file = try MappedFile(path, limits: limits)
    let format = try ContainerFormat(of: file)
    switch format {
    case .safetensors: return try SafetensorsFile(file)
    case .npz(let archive): return try NpzFile(archive)
    case .pyTorchArchive(let archive): return try PyTorchFile(archive)
    case .pickle: return try PyTorchFile(pickle: file)
    // What is known, but not read, and what is not known.
    case .gitLFSPointer, .npy, .otherArchive, .webPage, .text, .unknown:
      throw .unknownContainer(path: path, hint: format.hint)
    }
  }
}
