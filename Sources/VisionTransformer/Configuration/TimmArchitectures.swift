import Checkpoints
import Images

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
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
  }

  package static let table = TimmArchitectures()

  private let defaults: [String: JSONValue]
  private let pretrainedDefaults: [String: JSONValue]
  private let aliases: [String: JSONValue]
  private let entries: [String: JSONValue]

  private init() {
    // The resource is part of the program; a test reads every entry of it.
    let bytes = Data(PackageResources.timm_architectures_json)
    let file = (try? JSONDecoder().decode(JSONValue.self, from: bytes)) ?? .null
    defaults = file["defaults"]?.object ?? [:]
    pretrainedDefaults = file["pretrained_defaults"]?.object ?? [:]
    aliases = file["aliases"]?.object ?? [:]
    entries = file["architectures"]?.object ?? [:]
  }

  package var names: [String] { entries.keys.sorted() }

  /// The entry of a name such as `vit_base_patch16_224` or, with the tag of trained weights, `vit_base_patch16_224.augreg_in21k`.
  /// - Throws: `ModelError.unknownArchitecture` with names that are like it.
  package func entry(_ name: String) throws(ModelError) -> Entry {
    if let entry = find(name) { return entry }
    let words = Set(name.split { $0 == "_" || $0 == "." })
    let similar = names.map { candidate in
      (candidate, words.intersection(candidate.split(separator: "_")).count)
    }.filter { $0.1 > 1 }.sorted { ($1.1, $0.0.count, $0.0) < ($0.1, $1.0.count, $1.0) }.prefix(3).map(\.0)
    let remedy = similar.isEmpty ? "" : "; similar: \(similar.joined(separator: ", "))"
    throw .unknownArchitecture(
      name,
      remedy: "not one of timm's \(entries.count) Vision Transformers, such as vit_base_patch16_224\(remedy)")
  }

  package func find(_ name: String) -> Entry? {
    let name = aliases[name]?.string ?? name
    let fields = name.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard let base = fields.first, let value = entries[base] else { return nil }
    let tags = value["tags"]?.object ?? [:]
    let tag = fields.count > 1 && tags[fields[1]] != nil ? fields[1] : value["default_tag"]?.string ?? ""
    return Entry(
      name: base,
      arguments: .object(defaults.merging(value["args"]?.object ?? [:]) { $1 }),
      isDistilled: value["class"]?.string == "VisionTransformerDistilled",
      pretrained: .object(pretrainedDefaults.merging(tags[tag]?.object ?? [:]) { $1 }))
  }
}
