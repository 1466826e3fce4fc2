import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Keeps a run from writing over what it reads.
public enum OutputCheck {
  /// Checks that the outputs are different files, and none of those that the run needs. Files are compared by what they are, not
  /// by what they are called, so that links are seen through.
  /// - Parameters:
  ///   - outputs: files to be written; they need not exist.
  ///   - needed: files to be read.
  /// - Throws: `PipelineError.overwrites`.
  public static func check(_ outputs: [FilePath], needed: [FilePath]) throws(PipelineError) {
    var seen = needed.compactMap { path in FileIdentity(path).map { ($0, "an input of this run") } }
    for output in outputs {
      guard let identity = FileIdentity(output) else { continue }
      if let (_, what) = seen.first(where: { $0.0 == identity }) {
        throw .overwrites(path: output, what: what)
      }
      seen.append((identity, "another output of this run"))
    }
    let names = outputs.map { $0.lexicallyNormalized() }
    for (index, name) in names.enumerated() where names[..<index].contains(name) && FileIdentity(name) == nil
    {
      throw .overwrites(path: outputs[index], what: "another output of this run")
    }
  }

  /// Checks that files can be made in a folder or, where it is not there yet, the folder itself, so that this is known before the work.
  /// - Throws: `PipelineError.write`.
  public static func checkWritable(folder: FilePath) throws(PipelineError) {
    let place = nearestExisting(folder)
    guard place.withPlatformString({ access($0, W_OK | X_OK) }) == 0 else {
      throw .write(path: folder, reason: systemErrorDescription())
    }
    guard fileStatus(place)?.isDirectory == true else {
      throw .write(path: folder, reason: "\(place) is no folder")
    }
  }
}
