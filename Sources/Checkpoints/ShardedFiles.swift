import SystemPackage

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

  /// Opens every shard that the index names.
  /// - Parameter limits: what the files are held to.
  /// - Throws: `CheckpointError` where a shard is missing or broken, or does not hold what the index says.
  public init(index path: FilePath, limits: FileLimits = .standard) throws(CheckpointError) {
    let weightMap = try Self.weightMap(MappedFile(path, limits: limits))
    var shards: [String: any TensorContainer] = [:]
    var tensors: [String: TensorInfo] = [:]
    var unreadable: [String: String] = [:]
    var metadata: [String: String] = [:]
    for (tensor, shardName) in weightMap {
      // A shard lies beside its index; a name that leads elsewhere is not followed.
      guard let component = FilePath.Component(shardName), component.kind == .regular else {
        throw .malformedTensor(path: path, tensor: tensor, reason: "\"\(shardName)\" is not a file name")
      }
      let shard: any TensorContainer
      if let open = shards[shardName] {
        shard = open
      } else {
        shard = try Checkpoint.openByContents(path.removingLastComponent().appending(component), limits)
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
    self.shardNames = weightMap
    self.tensors = tensors
    self.unreadable = unreadable
    self.metadata = metadata
  }

  /// The file of each tensor.
  private static func weightMap(_ file: MappedFile) throws(CheckpointError) -> [String: String] {
    let tensorLimit = SafetensorsHeader.tensorLimit(file.limits)
    let nameLimit = SafetensorsHeader.nameLimit(file.limits)
    var reader = try JSONFile.reader(of: file)
    var map: [String: String]?
    try reader.object { reader, field throws(CheckpointError) in
      guard field == "weight_map" else { return try reader.skip() }
      guard map == nil else { throw reader.failure("field \"weight_map\" is there twice") }
      var names: [String: String] = [:]
      try reader.object(nameLimit: nameLimit) { reader, name throws(CheckpointError) in
        guard names.count < tensorLimit else {
          throw reader.failure(
            "field \"weight_map\" has more than \(tensorLimit) tensors\(FileLimits.Limit.tensors.remedy)")
        }
        let shard = try reader.string(limit: nameLimit)
        guard names.updateValue(shard, forKey: name) == nil else {
          throw .malformedTensor(path: file.path, tensor: name, reason: "the index has two of this name")
        }
      }
      map = names
    }
    try reader.finish()
    withExtendedLifetime(file) {}
    guard let map else { throw reader.failure("field \"weight_map\" is missing") }
    return map
  }

  public var mappedFiles: [MappedFile] { shards.values.flatMap(\.mappedFiles) }
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
