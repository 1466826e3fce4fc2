/// Why a picture could not be drawn.
public enum FigureError: Error, Equatable, Sendable {
  /// More pixels than a picture may have.
  case tooLarge(width: Int, height: Int)
  /// The drawing library's own words.
  case drawing(reason: String)
  /// The package was built without its trait `Cairo`.
  case unavailable
  /// There is nothing to show; `what` says what is missing.
  case empty(what: String)
}

extension FigureError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .tooLarge(let width, let height):
      """
      a picture of \(width)x\(height) pixels is too large: a side has at most \(Canvas.maxSide), the whole at most \
      \(Canvas.maxPixels)
      """
    case .drawing(let reason): "the picture could not be drawn: \(reason)"
    case .unavailable:
      "this vitrine was built without Cairo, and draws no charts, grids and labels: build it with the package's trait Cairo, which is on by default"
    case .empty(let what): "there is nothing to draw: \(what)"
    }
  }
}
