import SystemPackage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A trained model on disk: its tensors, and the configuration files beside them.
///
/// A folder in the Hugging Face layout (`config.json`, `model.safetensors` or `model.safetensors.index.json`, optional
/// `preprocessor_config.json`), or a file on its own. A file named `model.safetensors` inside such a folder, or an index,
/// brings the configuration of its folder along.
public struct Checkpoint: Sendable {
  /// The folder or file as it was given.
  public let path: FilePath
  public let container: any TensorContainer
  /// `config.json`, where there is one.
  public let configuration: JSONValue?
  /// `preprocessor_config.json`, where there is one, as its bytes.
  public let preprocessorConfiguration: Data?
  /// `config.json` as its bytes.
  public let configurationData: Data?
  /// Where `config.json` is or would be.
  public let configurationPath: FilePath
  public let preprocessorConfigurationPath: FilePath

  static let weightsName = "model.safetensors"
  static let indexName = "model.safetensors.index.json"

  /// Opens a folder or a file.
  /// - Throws: `CheckpointError` where nothing readable is there.
  public init(_ path: FilePath) throws(CheckpointError) {
    self.path = path
    let folder: FilePath
    if FileSystem.isDirectory(path) {
      folder = path
      container = try Self.openFolder(path)
    } else {
      folder = path.removingLastComponent()
      container = try Self.openFile(path)
    }
    // A single file takes the configuration beside it only where the two belong together by name.
    let belongs = folder == path || [Self.weightsName, Self.indexName].contains(path.lastComponent?.string)
    configurationPath = folder.appending("config.json")
    preprocessorConfigurationPath = folder.appending("preprocessor_config.json")
    configurationData = belongs ? try JSONFile.contents(of: configurationPath) : nil
    preprocessorConfiguration = belongs ? try JSONFile.contents(of: preprocessorConfigurationPath) : nil
    configuration =
      if let configurationData {
        try JSONFile.decode(JSONValue.self, from: configurationData, path: configurationPath)
      } else {
        nil
      }
  }

  private static func openFolder(_ folder: FilePath) throws(CheckpointError) -> any TensorContainer {
    for name in [weightsName, indexName] where FileSystem.exists(folder.appending(name)) {
      return try openFile(folder.appending(name))
    }
    throw .noWeights(folder: folder, expected: [weightsName, indexName])
  }

  private static func openFile(_ path: FilePath) throws(CheckpointError) -> any TensorContainer {
    if path.lastComponent?.string.hasSuffix(".index.json") == true {
      return try ShardedSafetensors(index: path)
    }
    return try SafetensorsFile(path)
  }
}
