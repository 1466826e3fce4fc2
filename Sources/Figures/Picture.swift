import Checkpoints
import Images
import SystemPackage

/// Something that can be drawn.
public protocol Figure: Sendable {
  /// Draws the picture; the same figure gives the same pixels on the same machine.
  /// - Throws: `FigureError`, or `ImageError` where an image in it cannot be resized.
  func draw(_ theme: Theme) throws -> Image
}

extension Figure {
  /// Draws the picture in the standard theme.
  public func draw() throws -> Image { try draw(.standard) }

  /// Draws the picture and writes it as PNG, whole or not at all.
  /// - Throws: what drawing throws, and `CheckpointError.unwritable`.
  public func write(to path: FilePath) throws {
    try draw().writePNG(to: path)
  }
}

extension Image {
  /// Writes the image as PNG, whole or not at all.
  /// - Throws: `CheckpointError.unwritable` or `ImageError.outOfMemory`.
  public func writePNG(to path: FilePath) throws {
    let bytes = try encodedPNG()
    let file = try AtomicFile(path)
    try file.write(bytes)
    try file.commit()
  }
}
