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
    try PictureFile(path).write(self)
  }
}

/// A place for a picture that will be drawn when the work is done, taken before it begins: a folder that cannot be written is known at once.
public final class PictureFile {
  private let file: AtomicFile

  /// - Throws: `CheckpointError.unwritable`.
  public init(_ path: FilePath) throws {
    file = try AtomicFile(path)
  }

  /// Writes the picture as PNG and gives it its name. To be called once.
  /// - Throws: `CheckpointError.unwritable` or `ImageError.outOfMemory`.
  public func write(_ image: Image) throws {
    try file.write(try image.encodedPNG())
    try file.commit()
  }
}
