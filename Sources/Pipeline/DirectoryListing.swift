import HeapModule
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A folder's entries in the order of their names' bytes, read in pages: a folder of ten million files is scanned again for each
/// page, but never held in memory.
package struct DirectoryListing {
  package struct Entry: Comparable {
    /// The name's bytes, which need not be UTF-8.
    package let name: [UInt8]
    package let kind: Kind

    package static func < (a: Entry, b: Entry) -> Bool { a.name.lexicographicallyPrecedes(b.name) }
    package static func == (a: Entry, b: Entry) -> Bool { a.name == b.name }
  }

  /// What the folder says of an entry without a further look.
  package enum Kind: Sendable {
    case file, folder, other
    /// A symbolic link, or a file system that does not tell.
    case unknown
  }

  let path: FilePath
  /// Entries of one page.
  let pageSize: Int
  /// The current page, last name first.
  private var page: [Entry] = []
  private var last: [UInt8]?
  private var hasMore = true

  package init(_ path: FilePath, pageSize: Int = 65_536) {
    self.path = path
    self.pageSize = pageSize
  }

  /// The next entry; nil at the end.
  /// - Throws: `InputError.unreadableFolder`.
  package mutating func next() throws(InputError) -> Entry? {
    if page.isEmpty, hasMore { try readPage() }
    guard let entry = page.popLast() else { return nil }
    last = entry.name
    return entry
  }

  private mutating func readPage() throws(InputError) {
    guard let directory = path.withPlatformString({ opendir($0) }) else {
      throw .unreadableFolder(reason: systemErrorDescription())
    }
    defer { closedir(directory) }
    var smallest = Heap<Entry>()
    hasMore = false
    while true {
      errno = 0
      guard let raw = readdir(directory) else {
        guard errno == 0 else { throw .unreadableFolder(reason: systemErrorDescription()) }
        break
      }
      guard let entry = Self.entry(raw) else { continue }
      if let last, !last.lexicographicallyPrecedes(entry.name) { continue }
      smallest.insert(entry)
      if smallest.count > pageSize {
        smallest.removeMax()
        hasMore = true
      }
    }
    page = smallest.unordered.sorted(by: >)
  }

  /// nil for hidden entries, `.` and `..`.
  private static func entry(_ raw: UnsafeMutablePointer<dirent>) -> Entry? {
    let name = withUnsafeBytes(of: &raw.pointee.d_name) { bytes in Array(bytes.prefix { $0 != 0 }) }
    guard name.first != UInt8(ascii: ".") else { return nil }
    let kind: Kind =
      switch Int(raw.pointee.d_type) {
      case Int(DT_REG): .file
      case Int(DT_DIR): .folder
      case Int(DT_LNK), Int(DT_UNKNOWN): .unknown
      default: .other
      }
    return Entry(name: name, kind: kind)
  }
}
