import Checkpoints

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Every architecture of timm's `vision_transformer.py`, `vision_transformer_hybrid.py` and `deit.py`: the arguments of its constructor
/// and the preprocessing of each of its trained weights. `scripts/reference/timm_architectures.py` exports the table.
package struct TimmArchitectures: Sendable {
  /// An entry of the table.
  package struct Entry: Sendable {
    package let name: String
    /// The constructor's arguments, defaults included.
    package let arguments: JSONValue
    package let isDistilled: Bool
    /// The preprocessing of the tag that was asked for, or of the default one, in the form of timm's `pretrained_cfg`.
    package let pretrained: JSONValue

    var embedDim: Int? { arguments["embed_dim"]?.int }
    var depth: Int? { arguments["depth"]?.int }
  }

  package static let table = TimmArchitectures()

  /// The constructor's arguments where an architecture says nothing else.
  let defaults: [String: JSONValue]
  private let pretrainedDefaults: [String: JSONValue]

  private init() {
    defaults = Self.value(of: "defaults")?.object ?? [:]
    pretrainedDefaults = Self.value(of: "pretrained_defaults")?.object ?? [:]
  }

  /// The names of all entries.
  private static let names: [String] = {
    // The resource is part of the program; a test reads every entry of it.
    let document = read { file throws(CheckpointError) in try JSONFile.value(of: file) }
    return document?["architectures"]?.object?.keys.sorted() ?? []
  }()

  /// All entries with the preprocessing of their default tags, by name.
  package static let entries = names.compactMap(table.find)

  /// What stands behind a name. In the document each name begins a line, whose value does not go beyond it: so most runs, which
  /// want to know one architecture, need not read them all.
  private static func value(of name: String) -> JSONValue? {
    let isName = name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."): true
      default: false
      }
    }
    guard isName else { return nil }
    let key = Array("\"\(name)\":".utf8)
    return read { file throws(CheckpointError) in
      let document = file.bytes(in: 0..<file.count)
      guard let base = document.baseAddress else { return nil }
      var position = 0
      while let end = memchr(base + position, CInt(UInt8(ascii: "\n")), document.count - position) {
        position = end - UnsafeMutableRawPointer(mutating: base) + 1
        guard document.count - position > key.count else { return nil }
        if memcmp(base + position, key, key.count) == 0 {
          return try JSONFile.value(at: position + key.count..<document.count, of: file)
        }
      }
      return nil
    } ?? nil
  }

  private static func read<R>(_ body: (MappedFile) throws(CheckpointError) -> R) -> R? {
    PackageResources.timm_architectures_json.withUnsafeBytes { bytes in
      try? body(MappedFile(borrowing: bytes, path: "timm-architectures.json"))
    }
  }

  /// The number of heads that timm's models of a width and depth agree on.
  static func numHeads(embedDim: Int, depth: Int) -> Int? {
    let entries = entries.filter { $0.embedDim == embedDim && $0.depth == depth }
    let heads = Set(entries.compactMap { $0.arguments["num_heads"]?.int })
    return heads.count == 1 ? heads.first : nil
  }

  /// The entry of a name such as `vit_base_patch16_224` or, with the tag of trained weights, `vit_base_patch16_224.augreg_in21k`.
  /// - Throws: `ModelError.unknownArchitecture` with names that are like it.
  package func entry(_ name: String) throws(ModelError) -> Entry {
    if let entry = find(name) { return entry }
    let words = Set(name.split { $0 == "_" || $0 == "." })
    let similar = Self.names.map { candidate in
      (candidate, words.intersection(candidate.split(separator: "_")).count)
    }.filter { $0.1 > 1 }.sorted { ($1.1, $0.0.count, $0.0) < ($0.1, $1.0.count, $1.0) }.prefix(3).map(\.0)
    let remedy = similar.isEmpty ? "" : "; similar: \(similar.joined(separator: ", "))"
    throw .unknownArchitecture(
      name,
      remedy:
        "not one of timm's \(Self.names.count) Vision Transformers, such as vit_base_patch16_224\(remedy)")
  }

  package func find(_ name: String) -> Entry? {
    let name = Self.value(of: name)?.string ?? name
    let fields = name.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard let base = fields.first, let value = Self.value(of: base), value["class"] != nil else { return nil }
    let tags = value["tags"]?.object ?? [:]
    let tag = fields.count > 1 && tags[fields[1]] != nil ? fields[1] : value["default_tag"]?.string ?? ""
    return Entry(
      name: base,
      arguments: .object(defaults.merging(value["args"]?.object ?? [:]) { $1 }),
      isDistilled: value["class"]?.string == "VisionTransformerDistilled",
      pretrained: .object(pretrainedDefaults.merging(tags[tag]?.object ?? [:]) { $1 }))
  }

  /// The hidden width of a MLP, as timm computes it.
  /// - Parameters:
  ///   - ratio: `mlp_ratio`
  ///   - layer: `mlp_layer`; in a packed one both halves of a gated MLP are counted.
  static func mlpDim(embedDim: Int, ratio: Double, layer: String?) -> Int {
    let hidden = Int(Double(embedDim) * min(ratio, 1000))
    return layer == "swiglu_packed" ? hidden / 2 : hidden
  }
}
