/// A tensor as a pickle describes it: a view of a storage.
struct PyTorchTensor: Sendable, Equatable {
  /// The storage's name in the file.
  let storage: String
  let type: ScalarType
  let shape: [Int]
  /// Elements between neighbours along each dimension; at least 0.
  let strides: [Int]
  /// Where the storage's part that the tensor may use begins, in bytes (legacy views; otherwise 0), and its size where the pickle
  /// says it.
  let viewStart: Int
  let viewBytes: Int
  /// Elements before the first one, within that part.
  let offset: Int

  /// Number of elements; known not to overflow.
  var count: Int { shape.reduce(1, *) }
  var byteCount: Int { count * type.byteCount }

  /// Whether the elements lie row-major without gaps.
  var isContiguous: Bool {
    var expected = 1
    for (size, stride) in zip(shape, strides).reversed() where size != 1 {
      if stride != expected { return count == 0 }
      expected *= size
    }
    return true
  }

  /// One past the last element that the tensor reads, counted from the beginning of its part; nil where that overflows.
  var end: Int? {
    guard count > 0 else { return offset }
    var end = offset
    for (size, stride) in zip(shape, strides) {
      let (span, tooLarge) = (size - 1).multipliedReportingOverflow(by: stride)
      let (sum, overflow) = end.addingReportingOverflow(span)
      guard !tooLarge, !overflow else { return nil }
      end = sum
    }
    let (sum, overflow) = end.addingReportingOverflow(1)
    return overflow ? nil : sum
  }
}

/// What a pickle says about a storage.
struct PyTorchStorage: Sendable, Equatable {
  /// What the elements are: one of torch's storage classes or data types, without its module.
  let typeName: String
  let key: String
  /// Where it was kept, such as `cuda:0`.
  let location: String
  let count: Int
  /// A part of it, in elements: torch before 0.4 named parts of storages.
  var view: (offset: Int, count: Int)?

  static func == (a: Self, b: Self) -> Bool {
    (a.typeName, a.key, a.location, a.count) == (b.typeName, b.key, b.location, b.count)
      && a.view?.offset == b.view?.offset && a.view?.count == b.view?.count
  }

  /// Element types by storage class and by data type.
  static let types: [String: ScalarType] = [
    "DoubleStorage": .float64, "FloatStorage": .float32, "HalfStorage": .float16,
    "BFloat16Storage": .bfloat16,
    "LongStorage": .int64, "IntStorage": .int32, "ShortStorage": .int16, "CharStorage": .int8,
    "ByteStorage": .uint8,
    "BoolStorage": .bool, "UntypedStorage": .uint8,
    "float64": .float64, "float32": .float32, "float16": .float16, "bfloat16": .bfloat16, "int64": .int64,
    "int32": .int32, "int16": .int16, "int8": .int8, "uint64": .uint64, "uint32": .uint32, "uint16": .uint16,
    "uint8": .uint8, "bool": .bool, "float8_e4m3fn": .float8E4M3, "float8_e5m2": .float8E5M2,
    // torch's older names for the same.
    "double": .float64, "float": .float32, "half": .float16, "long": .int64, "int": .int32, "short": .int16,
  ]

  /// The bytes of an element; those of the types that are no `ScalarType` are needed to find one's way past them.
  var elementBytes: Int? {
    if let type = Self.types[typeName] { return type.byteCount }
    return switch typeName {
    case "ComplexDoubleStorage": 16
    case "ComplexFloatStorage": 8
    case "QInt32Storage": 4
    case "QInt8Storage", "QUInt8Storage", "QUInt4x2Storage", "QUInt2x4Storage": 1
    default: nil
    }
  }
}

/// A tensor, or why its elements cannot be used.
enum PyTorchTensorDescription: Sendable {
  case tensor(PyTorchTensor)
  case unreadable(String)
  /// The description contradicts itself.
  case malformed(String)
}

/// Reads descriptions of tensors. Source: torch/_utils.py (`_rebuild_*`), torch/serialization.py (`persistent_id`).
extension PickleDocument {
  /// Weights have four dimensions, sometimes six.
  private static let rankLimit = 16

  func isTensor(_ value: PickleValue) -> Bool {
    if case .object(let global, _, _, _) = node(value) {
      PickleGlobals.role(of: globals[Int(global)]) == .tensor
    } else {
      false
    }
  }

  func tensor(_ value: PickleValue) -> PyTorchTensorDescription {
    var value = value
    // A parameter wraps a tensor, and a tensor with attributes the call that makes it.
    for _ in 0..<4 {
      guard let (name, tuple, _) = call(value), let arguments = elements(tuple, limit: 16) else { break }
      switch name {
      case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
        "torch.nn.parameter.Parameter":
        guard let inner = arguments.first else { return .malformed("a parameter without a tensor") }
        value = inner
      case "torch._tensor._rebuild_from_type_v2":
        guard arguments.count >= 3, let function = global(arguments[0]), let type = global(arguments[1]),
          let inner = elements(arguments[2], limit: 16)
        else { return .malformed("a tensor with attributes that has no tensor") }
        let plain = ["torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"]
        guard plain.contains(type) else { return .unreadable("it is of the class \(type)") }
        if !function.hasPrefix("torch._utils._rebuild_tensor"), let first = inner.first {
          value = first
        } else {
          return tensor(function, inner)
        }
      default:
        return tensor(name, arguments)
      }
    }
    return .malformed("it is \(kind(value)) where a tensor should be")
  }

  private func tensor(_ function: String, _ arguments: [PickleValue]) -> PyTorchTensorDescription {
    switch function {
    case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3":
      break
    case "torch._utils._rebuild_meta_tensor_no_storage":
      return .unreadable("it is a meta tensor: it was saved without its elements")
    case "torch._utils._rebuild_qtensor":
      return .unreadable("it is quantised by torch; save the model before it is quantised")
    case "torch._utils._rebuild_sparse_tensor", "torch._utils._rebuild_sparse_csr_tensor":
      return .unreadable("it is sparse; save it as a dense tensor")
    default:
      return .unreadable("\(function) is not read")
    }
    guard arguments.count >= 4, let storage = storage(arguments[0]), let offset = int(arguments[1]),
      let shape = integers(arguments[2], limit: Self.rankLimit),
      let strides = integers(arguments[3], limit: Self.rankLimit)
    else { return .malformed("its description is no storage, offset, size and stride") }
    if storage.location == "meta" {
      return .unreadable("it is a meta tensor: it was saved without its elements")
    }
    var typeName = storage.typeName
    if function.hasSuffix("_v3") {
      guard arguments.count >= 7, let name = global(arguments[6]), name.hasPrefix("torch.") else {
        return .malformed("its description has no data type")
      }
      typeName = String(name.dropFirst("torch.".count))
    }
    // Negated and conjugated views say so in a dictionary behind everything else.
    let flags = arguments.last.map {
      entries($0).prefix(4).contains { string($0.key) == "neg" || string($0.key) == "conj" }
    }
    if flags == true { return .unreadable("it is a negated or conjugated view") }
    guard let type = PyTorchStorage.types[typeName] else {
      return .unreadable(TensorInfo.unreadableType(typeName))
    }
    return describe(storage, type: type, shape: shape, strides: strides, offset: offset)
  }

  private func describe(
    _ storage: PyTorchStorage, type: ScalarType, shape: [Int], strides: [Int], offset: Int
  ) -> PyTorchTensorDescription {
    guard shape.count == strides.count else {
      return .malformed("the size \(shape) and stride \(strides) differ")
    }
    guard offset >= 0 else { return .malformed("the storage offset \(offset) is negative") }
    guard strides.allSatisfy({ $0 >= 0 }) else { return .malformed("the stride \(strides) is negative") }
    guard type.byteCount(of: shape) != nil else { return .malformed("the size \(shape) is not possible") }
    guard let elementBytes = storage.elementBytes else {
      return .unreadable(TensorInfo.unreadableType(storage.typeName))
    }
    let view = storage.view ?? (0, storage.count)
    let (start, overflow) = view.offset.multipliedReportingOverflow(by: elementBytes)
    let (size, tooLarge) = view.count.multipliedReportingOverflow(by: elementBytes)
    guard view.offset >= 0, view.count >= 0, !overflow, !tooLarge else {
      return .malformed("its storage of \(view.count) elements from \(view.offset) on is not possible")
    }
    let tensor = PyTorchTensor(
      storage: storage.key, type: type, shape: shape, strides: strides, viewStart: start, viewBytes: size,
      offset: offset)
    // In bytes and without overflow, so that everything that is computed from these numbers later stays in range.
    guard let end = tensor.end, !end.multipliedReportingOverflow(by: type.byteCount).overflow,
      end * type.byteCount <= size
    else {
      return .malformed(
        "size \(shape), stride \(strides) and offset \(offset) reach beyond its storage of "
          + "\(size / type.byteCount) elements")
    }
    return .tensor(tensor)
  }

  /// What a persistent id says: ("storage", class, key, location, number of elements[, view]).
  func storage(_ value: PickleValue) -> PyTorchStorage? {
    guard case .persistent(let id) = node(value),
      let fields = elements(PickleValue(index: id), limit: 6), fields.count >= 5,
      string(fields[0]) == "storage", let type = global(fields[1]), let key = string(fields[2]),
      let location = string(fields[3]), let count = int(fields[4]), count >= 0
    else { return nil }
    let prefix = ["torch.cuda.", "torch.storage.", "torch."].first(where: type.hasPrefix)
    guard let prefix else { return nil }
    var storage = PyTorchStorage(
      typeName: String(type.dropFirst(prefix.count)), key: key, location: location, count: count)
    if fields.count == 6, let view = elements(fields[5], limit: 3) {
      guard view.count == 3, let offset = int(view[1]), let size = int(view[2]) else { return nil }
      storage.view = (offset, size)
    }
    return storage
  }
}
