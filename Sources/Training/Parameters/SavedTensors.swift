/// A tensor as timm's files have it: a parameter, or some of its rows.
public struct SavedTensor: Sendable, Equatable {
  public let name: String
  public let shape: [Int]
  public let parameter: Parameter
  /// The elements of the parameter that it holds.
  public let elements: Range<Int>
}

extension ParameterLayout {
  /// Every tensor by timm's names.
  public var savedTensors: [SavedTensor] {
    parameters.flatMap { parameter in
      guard architecture.splitsGate, let range = parameter.name.range(of: ".mlp.fc1.") else {
        return [
          SavedTensor(
            name: parameter.name, shape: parameter.shape, parameter: parameter, elements: 0..<parameter.count)
        ]
      }
      // The gate's half first, as `activation(x1) * x2` has it.
      let half = parameter.count / 2
      return ["fc1_g", "fc1_x"].enumerated().map { index, layer in
        SavedTensor(
          name: parameter.name.replacing(".mlp.fc1.", with: ".mlp.\(layer).", subrange: range),
          shape: [parameter.shape[0] / 2] + parameter.shape.dropFirst(), parameter: parameter,
          elements: index * half..<(index + 1) * half)
      }
    }
  }
}

extension String {
  fileprivate func range(of text: String) -> Range<String.Index>? { ranges(of: text).first }

  fileprivate func replacing(_ text: String, with other: String, subrange: Range<String.Index>) -> String {
    self[..<subrange.lowerBound] + other + self[subrange.upperBound...]
  }
}

extension ParameterStore {
  /// The elements of a tensor.
  public func withElements<R>(
    of tensor: SavedTensor, _ kind: Kind = .values, _ body: (UnsafeMutableBufferPointer<Float>) throws -> R
  ) rethrows -> R {
    try withTensor(tensor.parameter, kind) { values in
      try body(UnsafeMutableBufferPointer(rebasing: values[tensor.elements]))
    }
  }
}
