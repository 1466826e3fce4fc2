import Foundation
import SystemPackage
import TestSupport

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A page in headless Chromium, which is told what to do over the pipe of its DevTools protocol: the mouse and the keys are real.
final class Browser {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  /// nil where Chromium is not installed.
  static let executable: String? = {
    let names = ["chromium", "chromium-browser", "google-chrome"]
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    return names.lazy.flatMap { name in folders.map { "\($0)/\(name)" } }.first {
      FileManager.default.isExecutableFile(atPath: $0)
    }
  }()

  private let folder: TemporaryFolder
  private let process = Process()
  private let input: CInt
  private let output: CInt
  private var received: [UInt8] = []
  private var lastID = 0
  private var session: String?
  /// What the page has thrown.
  private(set) var exceptions: [String] = []

  init(page: FilePath, width: Int = 1200, height: Int = 1000, isDark: Bool = false) throws {
    guard let executable = Self.executable else { throw Failure(description: "Chromium is not installed") }
    let folder = try TemporaryFolder()
    self.folder = folder
    let pipes = ["in", "out"].map { folder.path.appending($0).string }
    for pipe in pipes { guard mkfifo(pipe, 0o600) == 0 else { throw Failure(description: "no pipe") } }
    // Both ways, so that neither side waits for the other to open it.
    (input, output) = (open(pipes[0], O_RDWR | O_CLOEXEC), open(pipes[1], O_RDWR | O_CLOEXEC))
    let profile = folder.path.appending("profile").string
    let line = """
      exec "$0" --headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --user-data-dir="$3" \
      --window-size=\(width),\(height) --remote-debugging-pipe about:blank 3<"$1" 4>"$2" 2>"$3.log"
      """
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments = ["-c", line, executable, pipes[0], pipes[1], profile]
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    let target = try call("Target.createTarget", ["url": "about:blank"])
    let attached = try call(
      "Target.attachToTarget", ["targetId": target["targetId"] ?? "", "flatten": true])
    session = attached["sessionId"] as? String
    _ = try call("Runtime.enable")
    _ = try call("Page.enable")
    _ = try call(
      "Emulation.setDeviceMetricsOverride",
      ["width": width, "height": height, "deviceScaleFactor": 1, "mobile": false])
    let scheme: [String: Any] = ["name": "prefers-color-scheme", "value": isDark ? "dark" : "light"]
    _ = try call("Emulation.setEmulatedMedia", ["features": [scheme]])
    _ = try call("Page.navigate", ["url": URL(fileURLWithPath: page.string).absoluteString])
  }

  deinit {
    process.terminate()
    process.waitUntilExit()
    close(input)
    close(output)
  }

  /// What an expression of JavaScript gives, promises awaited.
  func evaluate(_ expression: String) throws -> Any? {
    let result = try call(
      "Runtime.evaluate", ["expression": expression, "awaitPromise": true, "returnByValue": true])
    if let details = result["exceptionDetails"] { throw Failure(description: "\(expression): \(details)") }
    return (result["result"] as? [String: Any])?["value"]
  }

  func text(_ expression: String) throws -> String { try evaluate(expression) as? String ?? "" }

  /// Waits until an expression is true.
  func wait(for expression: String) throws {
    for _ in 0..<200 {
      if try evaluate(expression) as? Bool == true { return }
      usleep(50_000)
    }
    throw Failure(description: "never true: \(expression)")
  }

  func moveMouse(to x: Double, _ y: Double) throws {
    _ = try call("Input.dispatchMouseEvent", ["type": "mouseMoved", "x": x, "y": y])
  }

  func click(_ x: Double, _ y: Double) throws {
    try moveMouse(to: x, y)
    for type in ["mousePressed", "mouseReleased"] {
      _ = try call(
        "Input.dispatchMouseEvent", ["type": type, "x": x, "y": y, "button": "left", "clickCount": 1])
    }
  }

  /// Clicks into the middle of an element.
  func click(_ selector: String) throws {
    let box = try box(selector)
    try click(box[0] + box[2] / 2, box[1] + box[3] / 2)
  }

  /// x, y, width and height of an element.
  func box(_ selector: String) throws -> [Double] {
    let script = """
      (() => { const element = document.querySelector('\(selector)'); element.scrollIntoView({ block: "nearest" });
      const box = element.getBoundingClientRect(); return [box.x, box.y, box.width, box.height]; })()
      """
    let numbers = try evaluate(script) as? [Any] ?? []
    let values = numbers.compactMap { ($0 as? NSNumber)?.doubleValue }
    guard values.count == 4 else { throw Failure(description: "no element \(selector)") }
    return values
  }

  /// Presses a key by its name in `KeyboardEvent.key`.
  func press(_ key: String) throws {
    let codes = [
      "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Escape": 27, "Enter": 13,
    ]
    for type in ["keyDown", "keyUp"] {
      _ = try call(
        "Input.dispatchKeyEvent",
        ["type": type, "key": key, "code": key, "windowsVirtualKeyCode": codes[key] ?? 0])
    }
  }

  // MARK: The protocol

  private func call(_ method: String, _ parameters: [String: Any] = [:]) throws -> [String: Any] {
    lastID += 1
    var message: [String: Any] = ["id": lastID, "method": method, "params": parameters]
    message["sessionId"] = session
    let bytes = [UInt8](try JSONSerialization.data(withJSONObject: message)) + [0]
    guard write(input, bytes, bytes.count) == bytes.count else { throw Failure(description: "cannot write") }
    while true {
      let answer = try receive()
      if answer["method"] as? String == "Runtime.exceptionThrown" { exceptions.append("\(answer)") }
      guard answer["id"] as? Int == lastID else { continue }
      if let error = answer["error"] { throw Failure(description: "\(method): \(error)") }
      return answer["result"] as? [String: Any] ?? [:]
    }
  }

  private func receive() throws -> [String: Any] {
    while true {
      if let end = received.firstIndex(of: 0) {
        let message = Data(received[..<end])
        received.removeSubrange(...end)
        return try JSONSerialization.jsonObject(with: message) as? [String: Any] ?? [:]
      }
      var request = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
      guard poll(&request, 1, 60_000) > 0 else {
        let log =
          (try? String(contentsOfFile: folder.path.appending("profile.log").string, encoding: .utf8)) ?? ""
        throw Failure(description: "Chromium does not answer: \(log)")
      }
      var chunk = [UInt8](repeating: 0, count: 65_536)
      let count = read(output, &chunk, chunk.count)
      received += chunk.prefix(max(0, count))
    }
  }
}
