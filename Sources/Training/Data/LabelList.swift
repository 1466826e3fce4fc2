import Checkpoints
import Images
import SystemPackage

/// A file of labels: comma-separated values with a header line that names the columns `path` and `label`, perhaps `split`. Paths are
/// relative to the file; labels are names, or indices of classes.
struct LabelList {
  private struct Row {
    let line: Int
    let path: FilePath
    let label: String
    let split: DatasetSplit
  }

  private let files: FolderFiles
  private let path: FilePath
  private let rows: [Row]
  let classNames: [String]
  private let areIndices: Bool

  /// - Parameter classes: the classes' names in order; nil for the labels themselves, sorted, or for as many numbers as the largest index
  ///   asks for.
  /// - Throws: `DatasetError` where the file is no such list.
  init(_ path: FilePath, classes: [String]?) throws {
    let text = try MappedFile(path).contents.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    var lines = CSVReader(text)
    guard let header = lines.next()?.fields.map({ $0.trimmingSpaces.lowercased() }),
      let pathColumn = header.firstIndex(of: "path"), let labelColumn = header.firstIndex(of: "label")
    else {
      throw DatasetError.malformed(
        path: path, reason: "expected a header line with the columns path and label, such as \"path,label\"")
    }
    let splitColumn = header.firstIndex(of: "split")
    var rows: [Row] = []
    while let (line, fields) = lines.next() {
      guard fields.count == header.count, !fields[pathColumn].isEmpty, !fields[labelColumn].isEmpty else {
        throw DatasetError.malformed(
          path: path,
          reason: "line \(line) has \(fields.count) fields or an empty one, expected \(header.count)")
      }
      let name = splitColumn.map { fields[$0].trimmingSpaces.lowercased() }
      let split = name.map { name in DatasetSplit.allCases.first { $0.folderNames.contains(name) } } ?? .all
      guard let split else {
        throw DatasetError.malformed(
          path: path, reason: "line \(line): the split is \"\(name ?? "")\", expected train, val or test")
      }
      rows.append(
        Row(line: line, path: FilePath(fields[pathColumn]), label: fields[labelColumn], split: split))
    }
    guard !rows.isEmpty else {
      throw DatasetError.malformed(path: path, reason: "no line follows the header")
    }
    let indices = rows.map { Int($0.label) }
    areIndices = indices.allSatisfy { $0 != nil } && !rows.allSatisfy { classes?.contains($0.label) ?? false }
    if areIndices {
      let largest = indices.compactMap(\.self).max() ?? 0
      guard largest < 1 << 20 else {
        throw DatasetError.malformed(
          path: path, reason: "label \(largest) is too large for the index of a class")
      }
      classNames = classes ?? (0...max(largest, 0)).map(String.init)
    } else {
      classNames = classes ?? Set(rows.map(\.label)).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
    files = FolderFiles(path: path.removingLastComponent())
    (self.path, self.rows) = (path, rows)
  }

  var splits: [DatasetSplit] {
    DatasetSplit.allCases.filter { split in rows.contains { $0.split == split } }
  }

  /// - Throws: `DatasetError` where a label is no class.
  func dataset(_ split: DatasetSplit, options: DecodingOptions) throws -> FolderDataset {
    let indices = Dictionary(
      classNames.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    var (paths, labels): (PathTable, [Int32]) = (PathTable(), [])
    for row in rows where row.split == split {
      guard let label = areIndices ? Int(row.label) : indices[row.label] else {
        throw DatasetError.unknownClass(path: path, name: row.label, classes: classNames)
      }
      guard classNames.indices.contains(label) else {
        throw DatasetError.labelOutOfRange(
          path: path, place: "line \(row.line)", label: label, classes: classNames.count)
      }
      paths.append(row.path)
      labels.append(Int32(label))
    }
    return FolderDataset(
      files, paths: paths, labels: labels, classNames: classNames,
      read: files.reader(of: paths, options: options))
  }
}

/// Comma-separated values (RFC 4180), line by line.
struct CSVReader: IteratorProtocol {
  private var rest: Substring
  private var line = 0

  init(_ text: String) {
    rest = text[...]
    if rest.hasPrefix("\u{FEFF}") { rest = rest.dropFirst() }
  }

  /// The fields of the next line that is not empty, and the line's number from 1.
  mutating func next() -> (line: Int, fields: [String])? {
    while !rest.isEmpty {
      line += 1
      let first = line
      let fields = record()
      if fields != [""] { return (first, fields) }
    }
    return nil
  }

  private mutating func record() -> [String] {
    var fields: [String] = []
    var field = ""
    var isQuoted = false
    while let character = rest.popFirst() {
      if isQuoted {
        if character.isNewline { line += 1 }
        if character != "\"" {
          field.append(character)
        } else if rest.first == "\"" {
          field.append("\"")
          rest = rest.dropFirst()
        } else {
          isQuoted = false
        }
      } else if character == "\"", field.isEmpty {
        isQuoted = true
      } else if character == "," {
        fields.append(field)
        field = ""
      } else if character.isNewline {
        break
      } else {
        field.append(character)
      }
    }
    return fields + [field]
  }
}
