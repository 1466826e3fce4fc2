import SystemPackage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Several files of one kind and the index that says which tensor is in which: `model.safetensors.index.json` or
/// `pytorch_model.bin.index.json`.
public struct ShardedFiles: TensorContainer {
  /// That of the shards: "sharded safetensors".
  public let format: String
  public let tensors: [String: TensorInfo]
  public let unreadable: [String: String]
  public let metadata: [String: String]
  private let shards: [String: any TensorContainer]
  /// The shard of each tensor.
  private let shardNames: [String: String]

  private struct Index: Decodable {
    let weightMap: [String: String]

    enum CodingKeys: String, CodingKey {
      case weightMap = "weight_map"
    }
  }

  /// Opens every shard that the index names.
  /// - Throws: `CheckpointError` where a shard is missing or broken, or does not hold what the index says.
  public init(index path: FilePath) throws(CheckpointError) {
    guard let data = try JSONFile.contents(of: path) else {
      throw .unreadable(path: path, reason: "no such file or directory")
    }
    let index = try JSONFile.decode(Index.self, from: data, path: path)
    var shards: [String: any TensorContainer] = [:]
    var tensors: [String: TensorInfo] = [:]
    var unreadable: [String: String] = [:]
    var metadata: [String: String] = [:]
    for (tensor, shardName) in index.weightMap {
      // A shard lies beside its index; a name that leads elsewhere is not followed.
      guard let component = FilePath.Component(shardName), component.kind == .regular else {
        throw .malformedTensor(path: path, tensor: tensor, reason: "\"\(shardName)\" is not a file name")
      }
      let shard: any TensorContainer
      if let open = shards[shardName] {
        shard = open
      } else {
        shard = try Checkpoint.openByContents(path.removingLastComponent().appending(component))
        shards[shardName] = shard
        metadata.merge(shard.metadata) { first, _ in first }
      }
      if let reason = shard.unreadable[tensor] {
        unreadable[tensor] = reason
        continue
      }
      guard let info = shard.tensors[tensor] else {
        throw .malformedTensor(
          path: path, tensor: tensor,
          reason: "the index places it in \"\(shardName)\", which does not hold it")
      }
      tensors[tensor] = info
    }
    format = "sharded \(shards.values.first?.format ?? "files")"
    self.shards = shards
    self.shardNames = index.weightMap
    self.tensors = tensors
    self.unreadable = unreadable
    self.metadata = metadata
  }

  public func path(of tensor: TensorInfo) -> FilePath { shard(of: tensor).path(of: tensor) }

  public func elements(of tensor: TensorInfo) throws(CheckpointError) -> TensorElements {
    try shard(of: tensor).elements(of: tensor)
  }

  private func shard(of tensor: TensorInfo) -> any TensorContainer {
    guard let name = shardNames[tensor.name], let shard = shards[name] else {
      preconditionFailure("tensor \"\(tensor.name)\" is not of this container")
    }
    return shard
  }
}
