import SystemPackage

/// The storages of a PyTorch file, and the elements of tensors that are views of them.
struct PyTorchStorages: Sendable {
  /// Where a storage's bytes are.
  enum Place: Sendable {
    case file(Range<Int>)
    /// Deflated: torch never does that, but people pack archives again.
    case member(ZipArchive, ZipArchive.Member)
  }

  let file: MappedFile
  let places: [String: Place]
  /// Whether the elements are big-endian.
  let isSwapped: Bool

  /// An expanded tensor (stride 0) is larger than its storage. What is above this many bytes, and this many times its storage, is
  /// no weight.
  static let expansionLimit = (bytes: 64 << 20, factor: 4)

  func size(of key: String) -> Int? {
    switch places[key] {
    case .file(let range): range.count
    case .member(_, let member): member.uncompressedSize
    case nil: nil
    }
  }

  /// Why a tensor's storage cannot be read at all; nil where it can.
  func obstacle(to tensor: PyTorchTensor) -> String? {
    if case .member(let archive, let member) = places[tensor.storage] {
      archive.obstacle(to: member)
    } else {
      nil
    }
  }

  /// What speaks against a tensor, as the reason of an error; nil where its elements are there.
  func objection(to tensor: PyTorchTensor) -> String? {
    guard let size = size(of: tensor.storage) else {
      return "its storage \"\(tensor.storage)\" is not in the file"
    }
    guard tensor.viewStart <= size, tensor.viewBytes <= size - tensor.viewStart else {
      return "its storage \"\(tensor.storage)\" has \(size) bytes, but its description says "
        + "\(tensor.viewStart.addingReportingOverflow(tensor.viewBytes).partialValue)"
    }
    let (stored, overflow) = tensor.viewBytes.multipliedReportingOverflow(by: Self.expansionLimit.factor)
    let excess = tensor.byteCount - Self.expansionLimit.bytes
    guard overflow || excess <= stored else {
      return
        "size \(tensor.shape) with stride \(tensor.strides) repeats a storage of \(tensor.viewBytes) bytes to "
        + "\(tensor.byteCount), which is no weight"
    }
    return nil
  }

  /// The elements, row-major and little-endian: where they lie in the file if they are so there.
  /// - Precondition: there is no `objection` to the tensor.
  func elements(of tensor: PyTorchTensor) throws(CheckpointError) -> TensorElements {
    guard tensor.count > 0, let end = tensor.end, let place = places[tensor.storage] else {
      return TensorElements(file.bytes(in: 0..<0), owner: file)
    }
    let size = tensor.type.byteCount
    let range = tensor.viewStart + tensor.offset * size..<tensor.viewStart + end * size
    let source: TensorElements
    switch place {
    case .file(let storage):
      let begin = storage.lowerBound
      source = TensorElements(
        file.bytes(in: begin + range.lowerBound..<begin + range.upperBound), owner: file)
    case .member(let archive, let member):
      let buffer = try ByteBuffer(count: range.count, path: file.path) { output throws(CheckpointError) in
        try archive.read(member, from: range.lowerBound, into: output)
      }
      source = TensorElements(buffer.bytes, owner: buffer)
    }
    guard !tensor.isContiguous || isSwapped && size > 1 else { return source }
    let buffer = try ByteBuffer(count: tensor.byteCount, path: file.path) { output throws(CheckpointError) in
      source.withUnsafeBytes { Self.gather(tensor, from: $0, into: output) }
      if isSwapped { ElementOrder.swapBytes(output, width: size) }
    }
    return TensorElements(buffer.bytes, owner: buffer)
  }

  /// Puts a strided tensor's elements in order.
  /// - Parameter source: the storage from the tensor's first element to its last.
  private static func gather(
    _ tensor: PyTorchTensor, from source: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) {
    switch tensor.type.byteCount {
    case 1: gather(tensor, UInt8.self, from: source, into: output)
    case 2: gather(tensor, UInt16.self, from: source, into: output)
    case 4: gather(tensor, UInt32.self, from: source, into: output)
    default: gather(tensor, UInt64.self, from: source, into: output)
    }
  }

  private static func gather<T: BitwiseCopyable>(
    _ tensor: PyTorchTensor, _ type: T.Type, from source: UnsafeRawBufferPointer,
    into output: UnsafeMutableRawBufferPointer
  ) {
    let size = MemoryLayout<T>.size
    let (columns, columnStride) = (tensor.shape.last ?? 1, tensor.strides.last ?? 1)
    let (rowShape, rowStrides) = (tensor.shape.dropLast(), tensor.strides.dropLast())
    var index = [Int](repeating: 0, count: rowShape.count)
    var (start, written) = (0, 0)
    while written < output.count {
      for column in 0..<columns {
        let element = source.loadUnaligned(fromByteOffset: (start + column * columnStride) * size, as: T.self)
        output.storeBytes(of: element, toByteOffset: written, as: T.self)
        written += size
      }
      // The next row, counted like an odometer.
      for dimension in index.indices.reversed() {
        index[dimension] += 1
        start += rowStrides[dimension]
        if index[dimension] < rowShape[dimension] { break }
        start -= rowStrides[dimension] * rowShape[dimension]
        index[dimension] = 0
      }
    }
  }
}
