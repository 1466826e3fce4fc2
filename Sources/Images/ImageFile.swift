import SystemPackage

extension Image {
  /// Reads and decodes an image file.
  ///
  /// - Parameters:
  ///   - path: a regular file, or a link to one. A pipe or device is refused and never waited for.
  ///   - options: orientation and the limits of pixels and bytes.
  /// - Throws: ``ImageError`` if the file cannot be read, and whatever ``init(decoding:options:)`` throws.
  public init(contentsOf path: FilePath, options: DecodingOptions = DecodingOptions()) throws(ImageError) {
    try self.init(decoding: ImageFile.read(path, maxBytes: options.maxBytes), options: options)
  }
}

/// Files of images, read whole. They are not mapped: a file that shrinks under a mapping ends the process.
enum ImageFile {
  /// - Parameter maxBytes: see ``DecodingOptions/maxBytes``.
  static func read(_ path: FilePath, maxBytes: Int) throws(ImageError) -> [UInt8] {
    do {
      // Non-blocking: opening a pipe must not wait for somebody to write into it.
      let file = try FileDescriptor.open(path, .readOnly, options: [.nonBlocking, .closeOnExec])
      return try file.closeAfter { try read(file, maxBytes: maxBytes) }
    } catch let error as ImageError {
      throw error
    } catch let error as Errno {
      throw switch error {
      case .noSuchFileOrDirectory, .notDirectory: .notFound
      case .permissionDenied, .notPermitted: .permissionDenied
      case .noSuchAddressOrDevice: .notARegularFile(kind: "a socket or a device")
      default: .unreadable(reason: error.description.lowercased())
      }
    } catch {
      throw .unreadable(reason: String(describing: error))
    }
  }

  private static func read(_ file: FileDescriptor, maxBytes: Int) throws -> [UInt8] {
    let status = try file.stat()
    guard status.type == .regular else { throw ImageError.notARegularFile(kind: name(of: status.type)) }
    guard status.size > 0 else { throw ImageError.empty }

    // A look at the beginning spares reading gigabytes of what is no image.
    var bytes = [UInt8](repeating: 0, count: ImageFormat.prefixLength)
    let prefixLength = try bytes.withUnsafeMutableBytes { try file.read(fromAbsoluteOffset: 0, into: $0) }
    guard prefixLength > 0 else { throw ImageError.empty }
    if case .other(let format) = ImageFormat(of: bytes.prefix(prefixLength)) {
      throw ImageError.unknownFormat(format: format)
    }
    guard status.size <= maxBytes else {
      throw ImageError.fileTooLarge(bytes: Int(status.size), limit: maxBytes)
    }
    let size = Int(status.size)
    guard Memory.canProvide(bytes: size) else { throw ImageError.outOfMemory(bytes: size) }
    return try [UInt8](unsafeUninitializedCapacity: size) { target, count in
      let target = UnsafeMutableRawBufferPointer(target)
      while count < size {
        let rest = UnsafeMutableRawBufferPointer(rebasing: target[count...])
        let read = try file.read(fromAbsoluteOffset: Int64(count), into: rest)
        if read == 0 { break }  // It shrank meanwhile; what is left decides.
        count += read
      }
    }
  }

  private static func name(of type: FileType) -> String {
    switch type {
    case .directory: "a folder"
    case .fifo: "a named pipe"
    case .socket: "a socket"
    case .characterSpecial, .blockSpecial: "a device"
    default: "a special file"
    }
  }
}
