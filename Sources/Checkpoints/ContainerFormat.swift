/// What kind of file a checkpoint is, by its contents. Names do not matter: a `.bin` or `.pth` can be any of these.
enum ContainerFormat: Sendable {
  case safetensors
  case npz(ZipArchive)
  /// What `torch.save` has written since version 1.6.
  case pyTorchArchive(ZipArchive)
  /// A bare Python pickle, as `torch.save` wrote before, or a tar archive, as it wrote before that.
  case pickle
  case gitLFSPointer
  /// One numpy array on its own.
  case npy
  /// A zip archive of something else.
  case otherArchive
  /// Text that begins with a tag: what a server may answer in place of a file.
  case webPage
  case text
  case unknown

  /// - Throws: `CheckpointError.malformed` where the file is a zip archive that is damaged.
  init(of file: MappedFile) throws(CheckpointError) {
    let start = file.bytes(in: 0..<min(file.count, 16))
    if Self.isSafetensors(start, limits: file.limits) {
      self = .safetensors
    } else if start.starts(with: Array("PK\u{3}\u{4}".utf8)) || start.starts(with: Array("PK\u{5}\u{6}".utf8))
    {
      self = Self.kind(of: try ZipArchive(file))
    } else if PyTorchFile.isPickle(file) {
      self = .pickle
    } else if start.starts(with: NpyHeader.magic) {
      self = .npy
    } else if start.starts(with: Array("version https:/".utf8)) {
      self = .gitLFSPointer
    } else if Self.isText(file.bytes(in: 0..<min(file.count, 256))) {
      self = start.first == UInt8(ascii: "<") ? .webPage : .text
    } else if start.count > 8, start[8] == UInt8(ascii: "{") {
      // Its reader says what is wrong with the length.
      self = .safetensors
    } else {
      self = .unknown
    }
  }

  /// The header's length, and the brace that the header begins with. A length that no header has does not count, so that a
  /// file of another format is not taken for one with a damaged header.
  private static func isSafetensors(_ start: UnsafeRawBufferPointer, limits: FileLimits) -> Bool {
    start.count > 8 && start[8] == UInt8(ascii: "{")
      && Record(start).uint64(0) <= UInt64(SafetensorsFile.headerLimit(limits))
  }

  private static func isText(_ start: UnsafeRawBufferPointer) -> Bool {
    let blanks = UInt8(ascii: "\t")...UInt8(ascii: "\r")
    // No text in UTF-8 has bytes from 0xF8 on.
    return !start.isEmpty
      && start.allSatisfy { (UInt8(ascii: " ")..<0xF8).contains($0) && $0 != 0x7F || blanks.contains($0) }
  }

  private static func kind(of archive: ZipArchive) -> ContainerFormat {
    if archive.members.contains(where: { $0.name.hasSuffix(NpzFile.ending) }) { return .npz(archive) }
    if PyTorchFile.isArchive(archive) { return .pyTorchArchive(archive) }
    return .otherArchive
  }

  /// What to tell someone whose file is none that Vitrine reads; empty where there is nothing to say.
  var hint: String {
    switch self {
    case .safetensors, .npz, .unknown: ""
    case .pyTorchArchive: "it is a PyTorch archive where a safetensors file is expected"
    case .pickle: "it is a Python pickle where a safetensors file is expected"
    case .gitLFSPointer: "it is a Git LFS pointer; fetch the file itself with \"git lfs pull\""
    case .npy: "it is a single numpy array; save all the model's arrays in one file with numpy.savez"
    case .webPage: "it is a web page, which a server sent in place of the file; download the file itself"
    case .text: "it is text"
    case .otherArchive: "it is a zip archive with neither numpy arrays nor a PyTorch model in it"
    }
  }
}
