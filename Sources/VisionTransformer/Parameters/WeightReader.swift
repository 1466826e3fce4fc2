import Checkpoints
import Kernels

/// Takes tensors out of a checkpoint as float32 matrices in PyTorch's layout, whatever their type and layout in the file.
///
/// A float32 tensor that lies as PyTorch has it is used where it is in the mapped file; any other is converted once. Matrices are
/// valid until the next `letGo`.
struct WeightReader {
  let tensors: NamedTensors
  /// Whether tensors are looked at by shape and type alone: nothing is read, and the matrices hold anything.
  let describesOnly: Bool
  /// What takes the place of some of the checkpoint's tensors.
  let substitutes: LayerSubstitutes?
  /// Elements of the tensors that were read.
  private(set) var count = 0
  /// What was read since the last `letGo`, for the search for damaged weights.
  private(set) var weights: [Weight] = []
  private var owners: [WeightOwner] = []
  /// Tensors that hold all layers, which are asked for once a layer.
  private var stacked: [String: TensorElements] = [:]

  init(_ tensors: NamedTensors, describesOnly: Bool = false, substitutes: LayerSubstitutes? = nil) {
    self.tensors = tensors
    self.describesOnly = describesOnly
    self.substitutes = substitutes
  }

  /// Whether some layers have integers for weights, so that the others are meant to be floats.
  var isQuantized: Bool { substitutes != nil || tensors.container is QuantizedTensors }

  /// A layer's weight as integers; nil where it is stored as floats, or its parts cannot be read as one.
  mutating func quantized(_ name: String, shape: [Int]) throws(CheckpointError) -> QuantizedWeight? {
    try tensors.require(name, shape: shape)
    guard let parts = tensors.parts(of: name), isQuantized else { return nil }
    if let substitutes {
      guard let weight = substitutes.weights[name] else { return nil }
      for part in parts { note(part) }
      return weight
    }
    var weights: [QuantizedWeight] = []
    for part in parts {
      guard part.layout == .asIs, part.layer == nil,
        let weight = try tensors.container.quantized(part.tensor)
      else { return nil }
      let rows = part.share.map { share in
        weight.outputs / share.total * share.first..<weight.outputs / share.total
          * (share.first + share.count)
      }
      weights.append(rows.map(weight.rows) ?? weight)
    }
    let weight = QuantizedWeight(stacking: weights)
    if weight != nil { for part in parts { note(part) } }
    return weight
  }

  /// Counts a part as read.
  private mutating func note(_ part: TensorPart) {
    count += part.shape.reduce(1, *)
    names.insert(part.tensor.name)
  }

  /// Names of the tensors that were read.
  private(set) var names: Set<String> = []

  /// Lets go of all that was read: the matrices are invalid afterwards, and the file's pages need not stay in memory.
  mutating func letGo() {
    for case .mapped(let elements) in owners { elements.letGo() }
    owners = []
    weights = []
  }

  /// The parts of a tensor, each [rows, columns]; several only where the file keeps apart what timm stacks by rows.
  /// - Parameters:
  ///   - name: timm's name.
  ///   - shape: the tensor's whole shape in PyTorch's order.
  ///   - columns: elements of a row; 1 row where the tensor is a vector.
  /// - Throws: `CheckpointError` where it is missing, has another shape or a type that is no weight's.
  mutating func matrices(_ name: String, shape: [Int], columns: Int) throws(CheckpointError) -> [MatrixView] {
    try tensors.require(name, shape: shape)
    guard let parts = tensors.parts(of: name), columns > 0 else { throw tensors.missing(name) }
    if let matrix = substitute(name, columns: columns) {
      for part in parts { note(part) }
      return [matrix]
    }
    var matrices: [MatrixView] = []
    for part in parts {
      let isVector = shape.count == 1
      let width = isVector ? columns / parts.count : columns
      matrices.append(try matrix(part, columns: width))
    }
    return matrices
  }

  /// What takes the tensor's place, as floats.
  private mutating func substitute(_ name: String, columns: Int) -> MatrixView? {
    if let values = substitutes?.biases[name] {
      let matrix = allocate(rows: 1, columns: values.count)
      _ = matrix.row(0).update(fromContentsOf: values)
      return matrix.view
    }
    guard let weight = substitutes?.weights[name] else { return nil }
    let matrix = allocate(rows: weight.outputs * weight.inner / columns, columns: columns)
    if !describesOnly {
      weight.dequantize(
        into: UnsafeMutableBufferPointer(start: matrix.base, count: matrix.rows * columns))
    }
    return matrix.view
  }

  /// A tensor of shape [1, ..., rows, columns], or a vector as one row.
  mutating func rows(_ name: String, rows: Int, columns: Int) throws(CheckpointError) -> MatrixView {
    let shape = tensors.shape(of: name) ?? []
    let expected =
      shape == [columns] && rows == 1
      ? shape : [Int](repeating: 1, count: max(0, shape.count - 2)) + [rows, columns]
    return try matrices(name, shape: expected, columns: columns)[0]
  }

  /// One part, cut into rows.
  mutating func matrix(_ part: TensorPart, columns: Int) throws(CheckpointError) -> MatrixView {
    let tensor = part.tensor
    let stored = part.storedShape.reduce(1, *)
    guard stored > 0 else {
      throw .malformedTensor(
        path: tensors.container.path(of: tensor), tensor: tensor.name, reason: "it has no elements")
    }
    guard [.float64, .float32, .float16, .bfloat16].contains(tensor.type) else {
      throw .unsupportedType(
        path: tensors.container.path(of: tensor), tensor: tensor.name, type: tensor.type.rawValue)
    }
    let base =
      describesOnly ? UnsafePointer(allocate(rows: 1, columns: stored).base) : try read(part, count: stored)
    let shape = part.shape
    let kept = shape.reduce(1, *)
    let skipped = part.share.map { kept / $0.count * $0.first } ?? 0
    note(part)
    let view = MatrixView(base: base + skipped, rows: kept / columns, columns: columns)
    weights.append(Weight(name: tensor.name, path: tensors.container.path(of: tensor), matrix: view))
    return view
  }

  /// The elements of a part in PyTorch's order.
  private mutating func read(_ part: TensorPart, count: Int) throws(CheckpointError) -> UnsafePointer<Float> {
    let tensor = part.tensor
    let elements: TensorElements
    if let known = stacked[tensor.name] {
      elements = known
    } else {
      elements = try tensors.container.elements(of: tensor)
      if part.layer != nil { stacked[tensor.name] = elements }
    }
    return try elements.withUnsafeBytes { bytes throws(CheckpointError) in
      let size = count * tensor.type.byteCount
      let start = (part.layer ?? 0) * size
      guard start + size <= bytes.count else { throw tensors.missing(tensor.name) }
      let floats = self.floats(
        UnsafeRawBufferPointer(rebasing: bytes[start..<start + size]), of: tensor, elements: elements)
      return arrange(floats, part)
    }
  }

  /// Memory for weights that are converted or computed from others; its contents are arbitrary.
  mutating func allocate(rows: Int, columns: Int) -> MutableMatrixView {
    let buffer = FloatBuffer(count: rows * columns, zeroed: false)
    let view = MutableMatrixView(base: buffer.base, rows: rows, columns: columns)
    owners.append(.converted(ConvertedWeight(buffer)))
    return view
  }

  /// The elements as float32: where they lie if that is what they are, else a copy.
  private mutating func floats(
    _ bytes: UnsafeRawBufferPointer, of tensor: TensorInfo, elements: TensorElements
  ) -> UnsafePointer<Float> {
    let count = bytes.count / tensor.type.byteCount
    if tensor.type == .float32, let start = bytes.baseAddress,
      UInt(bitPattern: start).isMultiple(of: UInt(MemoryLayout<Float>.alignment))
    {
      owners.append(.mapped(elements))
      return start.assumingMemoryBound(to: Float.self)
    }
    let copy = allocate(rows: 1, columns: count)
    let floats = UnsafeMutableBufferPointer(start: copy.base, count: count)
    switch tensor.type {
    case .float64: Elements.convertFloat64(bytes, into: floats)
    case .float16: Elements.convertFloat16(bytes, into: floats)
    case .bfloat16: Elements.convertBFloat16(bytes, into: floats)
    default: UnsafeMutableRawBufferPointer(floats).copyMemory(from: bytes)
    }
    return UnsafePointer(copy.base)
  }

  /// Puts the elements of one part into PyTorch's order.
  private mutating func arrange(_ source: UnsafePointer<Float>, _ part: TensorPart) -> UnsafePointer<Float> {
    let shape = part.storedShape
    switch (part.layout, shape.count) {
    case (.dense, 2):
      return transposed(source, rows: shape[0], columns: shape[1])
    case (.intoHeads, 3):
      return transposed(source, rows: shape[0], columns: shape[1] * shape[2])
    case (.outOfHeads, 3):
      return transposed(source, rows: shape[0] * shape[1], columns: shape[2])
    case (.convolution, 4):
      // [h * w, I, O] to [O, I, h * w]
      let (area, inputs, outputs) = (shape[0] * shape[1], shape[2], shape[3])
      let target = allocate(rows: outputs, columns: inputs * area)
      for pixel in 0..<area {
        for input in 0..<inputs {
          let row = source + (pixel * inputs + input) * outputs
          for output in 0..<outputs { target.base[(output * inputs + input) * area + pixel] = row[output] }
        }
      }
      return UnsafePointer(target.base)
    default:
      return source
    }
  }

  private mutating func transposed(
    _ source: UnsafePointer<Float>, rows: Int, columns: Int
  ) -> UnsafePointer<Float> {
    let target = allocate(rows: columns, columns: rows)
    Elements.transpose(MatrixView(base: source, rows: rows, columns: columns), into: target)
    return UnsafePointer(target.base)
  }
}
