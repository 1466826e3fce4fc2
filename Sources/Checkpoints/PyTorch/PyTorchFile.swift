import SystemPackage

/// A file that `torch.save` or `torch.jit.save` wrote, memory-mapped: `.pth`, `.pt`, `.bin`.
///
/// Two layouts are read. Since torch 1.6 it is a zip archive with a pickle (`data.pkl`) that describes the tensors and one member
/// for each storage (`data/0`, ...); before, and with `_use_new_zipfile_serialization=False`, a row of pickles that the storages
/// follow. TorchScript archives are zip archives of the first kind.
///
/// Nothing of the pickle is executed (`PickleReader`). The tensors are those of the state dictionary (`StateDictionary`),
/// wherever in a training checkpoint it is. Source: torch/serialization.py, torch/csrc/jit/serialization/pickler.cpp.
public struct PyTorchFile: TensorContainer {
  public let format: String
  public let tensors: [String: TensorInfo]
  /// `state dictionary` says where in the file the tensors were found, unless they are the whole file.
  public let metadata: [String: String]
  /// Tensors whose elements cannot be used, with the reason, such as sparse or quantised ones.
  public let unreadable: [String: String]
  private let file: MappedFile
  private let storages: PyTorchStorages
  private let layouts: [String: PyTorchTensor]

  /// Maps a file and reads the description of its tensors.
  /// - Throws: `CheckpointError` where it cannot be read, is damaged, holds no state dictionary, or asks for code to be run.
  public init(_ path: FilePath) throws(CheckpointError) {
    try self.init(MappedFile(path))
  }

  package init(_ file: MappedFile) throws(CheckpointError) {
    if file.bytes(in: 0..<min(4, file.count)).elementsEqual([0x50, 0x4B, 0x03, 0x04]) {
      try self.init(ZipArchive(file))
    } else {
      try self.init(pickle: file)
    }
  }

  /// Reads a zip archive, which must be one of PyTorch's (`isArchive`).
  init(_ archive: ZipArchive) throws(CheckpointError) {
    let (document, storages) = try PyTorchStorages.open(archive)
    try self.init(format: "PyTorch archive", document, storages, file: archive.file)
  }

  /// Reads a file of the older layout.
  init(pickle file: MappedFile) throws(CheckpointError) {
    let (document, storages) = try PyTorchStorages.open(pickle: file)
    try self.init(format: "PyTorch pickle", document, storages, file: file)
  }

  private init(
    format: String, _ document: PickleDocument, _ storages: PyTorchStorages, file: MappedFile
  ) throws(CheckpointError) {
    let dictionary = try StateDictionary(of: document, path: file.path, limits: file.limits)
    var tensors: [String: TensorInfo] = [:]
    var unreadable: [String: String] = [:]
    var layouts: [String: PyTorchTensor] = [:]
    for (name, value) in dictionary.tensors {
      switch document.tensor(value) {
      case .tensor(let tensor):
        if let obstacle = storages.obstacle(to: tensor) {
          unreadable[name] = "it \(obstacle)"
          continue
        }
        if let reason = storages.objection(to: tensor) {
          throw .malformedTensor(path: file.path, tensor: name, reason: reason)
        }
        tensors[name] = TensorInfo(name: name, type: tensor.type, shape: tensor.shape)
        layouts[name] = tensor
      case .unreadable(let reason):
        unreadable[name] = reason
      case .malformed(let reason):
        throw .malformedTensor(path: file.path, tensor: name, reason: reason)
      }
    }
    var metadata: [String: String] = [:]
    if let name = dictionary.name { metadata["state dictionary"] = name }
    if dictionary.isModule { metadata["state dictionary"] = "TorchScript module" }
    self.format = format
    self.file = file
    self.storages = storages
    (self.tensors, self.metadata, self.unreadable, self.layouts) = (tensors, metadata, unreadable, layouts)
  }

  public var mappedFiles: [MappedFile] { [file] }
  public func path(of tensor: TensorInfo) -> FilePath { file.path }

  public func elements(of tensor: TensorInfo) throws(CheckpointError) -> TensorElements {
    guard let layout = layouts[tensor.name] else {
      preconditionFailure("tensor \"\(tensor.name)\" is not of this container")
    }
    return try storages.elements(of: layout)
  }

  // MARK: - Recognition

  /// Whether a zip archive is one of PyTorch's.
  static func isArchive(_ archive: ZipArchive) -> Bool { PyTorchStorages.pickle(in: archive) != nil }

  /// Whether a file looks like a pickle, or like the tar archives that the first versions of torch wrote.
  static func isPickle(_ file: MappedFile) -> Bool {
    let head = file.bytes(in: 0..<min(file.count, 512))
    if head.count >= 2, head[0] == 0x80, head[1] <= 5 { return true }
    if PyTorchStorages.isTar(file) { return true }
    // Protocols 0 and 1 have no signature: a global's two lines, a container, or torch's magic number as text.
    let start = String(decoding: head.prefix(2), as: UTF8.self)
    if start.hasPrefix("c") {
      let line = head.dropFirst().prefix { $0 != UInt8(ascii: "\n") }
      return line.count < head.count - 1 && !line.isEmpty
        && line.allSatisfy { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "_") || isAlphanumeric($0) }
    }
    return ["(c", "(d", "(l", "(i", "(S", "(V", "(I", "}q", "]q", "L1"].contains(start)
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
      || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
  }
}
