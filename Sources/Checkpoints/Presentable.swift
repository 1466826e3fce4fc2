/// A text that quotes what a file holds, fit for a terminal: without control characters, which one would obey, and without the middle
/// of what is too long to be read.
package func presentable(_ text: String, limit: Int = 1500) -> String {
  guard text.utf8.count > limit || !text.utf8.allSatisfy({ 0x20 <= $0 && $0 < 0x7F }) else { return text }
  let scalars = text.unicodeScalars
  let isLong = scalars.dropFirst(limit).first != nil
  var result = ""
  for piece in isLong ? [scalars.prefix(limit / 2), scalars.suffix(limit / 2)] : [scalars[...]] {
    if !result.isEmpty { result += " ... " }
    for scalar in piece {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator:
        result += "\\u{\(String(scalar.value, radix: 16))}"
      default: result.unicodeScalars.append(scalar)
      }
    }
  }
  return result
}
