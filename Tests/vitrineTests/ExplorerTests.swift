import Foundation
import SystemPackage
import TestSupport
import Testing

/// The page of `vitrine attention --html`, in a real browser.
@Suite(
  .enabled(if: Browser.executable != nil, "Chromium is not installed (scripts/setup chromium installs it)"),
  .serialized)
struct ExplorerTests {
  private static let model = Fixtures.project.appending("samples/models/cifar10").string
  private static let photos = Fixtures.project.appending("samples/photos")
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  private func page(_ inputs: [String], model: String = model) throws -> FilePath {
    let page = folder.path.appending("page <i>.html")
    let run = try Command.run("attention", inputs + ["--model", model, "--html", page.string])
    try #require(run.status == 0, "\(run.errors)")
    #expect(run.lines == [page.string])
    return page
  }

  /// Where the command itself finds the largest value, as the page says it; and that value.
  private func largest(_ options: String..., model: String = model) throws -> (place: String, value: Float) {
    let output = folder.path.appending("maps")
    let run = try Command.run(
      "attention",
      [Self.photos.appending("dog.jpg").string, "--model", model, "--output", output.string, "--npy"]
        + options)
    try #require(run.status == 0, "\(run.errors)")
    let file = try #require(run.lines.last { $0.hasSuffix(".npy") })
    let data = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
    let values = data[192...].withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
    let best = values.indices.max { values[$0] < values[$1] } ?? 0
    let columns = Int(Double(values.count).squareRoot())
    return ("row \(best / columns), column \(best % columns)", values[best])
  }

  private func percent(_ status: String) throws -> Float {
    let text = try #require(status.split(separator: "(").last)
    return try #require(Float(text.split(separator: " ")[0])) / 100
  }

  private static let status = "document.getElementById('status').textContent"

  /// What the mouse is over is what is asked, and what the page answers is what the command computes.
  @Test func hoverAndControls() throws {
    let photo = Self.photos.appending("dog.jpg").string
    let browser = try Browser(page: try page([photo]))
    try browser.wait(for: "document.body?.dataset.ready === '0'")
    let whole = try largest("--layer", "5")
    var status = try browser.text(Self.status)
    #expect(
      status.hasPrefix("The mean of the patches, layer 5, mean of 6 heads: looks most at \(whole.place) ("))
    #expect(abs(try percent(status) - whole.value) < 0.1 * whole.value)

    let view = try browser.box("#view")
    func middle(_ row: Int, _ column: Int) -> (Double, Double) {
      (view[0] + (Double(column) + 0.5) / 8 * view[2], view[1] + (Double(row) + 0.5) / 8 * view[3])
    }
    let pixels =
      "Array.from(document.getElementById('view').getContext('2d').getImageData(0, 0, 1120, 1120).data).join()"
    let before = try browser.text(pixels)
    for (row, column) in [(2, 5), (7, 0)] {
      let (x, y) = middle(row, column)
      try browser.moveMouse(to: x, y)
      let expected = try largest("--layer", "5", "--query", "\(row),\(column)")
      status = try browser.text(Self.status)
      #expect(
        status.hasPrefix(
          "Patch at row \(row), column \(column), layer 5, mean of 6 heads: looks most at \(expected.place)"))
      #expect(abs(try percent(status) - expected.value) < 0.1 * expected.value)
    }
    #expect(try browser.text(pixels) != before)
    // The patch that draws most is the most yellow one.
    try browser.click("#smooth")
    let (x, y) = middle(2, 5)
    try browser.moveMouse(to: x, y)
    let place = try largest("--layer", "5", "--query", "2,5").place.split { !$0.isNumber }.compactMap {
      Int($0)
    }
    let color = try browser.evaluate(
      "Array.from(document.getElementById('view').getContext('2d').getImageData(\(place[1] * 140 + 60), \(place[0] * 140 + 60), 1, 1).data)"
    )
    let channels = (color as? [Any] ?? []).compactMap { ($0 as? NSNumber)?.intValue }
    #expect(channels.count == 4 && channels[0] > 180 && channels[1] > 170 && channels[2] < 110, "\(channels)")

    try browser.click("#heads button[data-head=\"3\"]")
    status = try browser.text(Self.status)
    #expect(status.contains("layer 5, head 3: looks most at"))
    #expect(
      try browser.text(
        "document.querySelector('#heads button[data-head=\"3\"]').getAttribute('aria-pressed')") == "true")
    _ = try browser.evaluate("document.getElementById('layer').focus()")
    try browser.press("ArrowLeft")
    #expect(try browser.text(Self.status).contains("layer 4, head 3"))

    // Over the picture again: a click holds the patch, and keys move it.
    try browser.click(x, y)
    #expect(try browser.text(Self.status).hasSuffix("Held."))
    try browser.moveMouse(to: view[0] + 5, view[1] + 5)
    #expect(try browser.text(Self.status).hasPrefix("Patch at row 2, column 5"))
    _ = try browser.evaluate("document.getElementById('view').focus()")
    try browser.press("ArrowDown")
    try browser.press("ArrowRight")
    #expect(try browser.text(Self.status).hasPrefix("Patch at row 3, column 6"))
    try browser.press("Escape")
    #expect(try browser.text(Self.status).hasPrefix("The mean of the patches"))

    try browser.click("#rollout")
    let rollout = try largest()
    status = try browser.text(Self.status)
    #expect(status.contains("through all 6 layers: most from \(rollout.place)"), "\(status)")
    #expect(abs(try percent(status) - rollout.value) < 0.1 * rollout.value)
    let classes = try Command.run("classify", photo, "--model", Self.model, "--top-k", "2", "--format", "csv")
      .lines
    let second = try #require(classes.last?.split(separator: ",")[3])
    try browser.click("#predictions li:nth-child(2) button")
    let attribution = try largest("--class", String(second))
    #expect(
      try browser.text(Self.status)
        == "What speaks for \(second): most of all the patch at \(attribution.place).")

    let resources = try browser.text(
      "performance.getEntriesByType('resource').map((each) => each.name.slice(0, 5)).join()")
    #expect(resources.split(separator: ",").allSatisfy { $0 == "data:" }, "\(resources)")
    #expect(browser.exceptions.isEmpty)
  }

  @Test func galleryInTheDark() throws {
    let photo = try folder.copy(Self.photos.appending("dog.jpg"), to: "photos/a <b> & \"c\".jpg")
    try folder.copy(Self.photos.appending("horse.jpg"), to: "photos/horse.jpg")
    let page = try page([photo.removingLastComponent().string], model: Command.tiny)
    let browser = try Browser(page: page, width: 480, isDark: true)
    try browser.wait(for: "document.body?.dataset.ready === '0'")
    #expect(try browser.text("document.querySelector('h1').textContent") == "a <b> & \"c\".jpg")
    #expect(try browser.text("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)")
    #expect(try browser.text(Self.status).hasPrefix("The class token, layer 1"))
    try browser.click("#gallery button:nth-child(2)")
    try browser.wait(for: "document.body?.dataset.ready === '1'")
    #expect(try browser.text("document.querySelector('h1').textContent") == "horse.jpg")
    // Nothing sticks out of a narrow window.
    #expect(
      try browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth") as? Bool == true)
    #expect(browser.exceptions.isEmpty)
  }
}

/// What needs no browser.
@Suite struct ExplorerFileTests {
  @Test func options() throws {
    let folder = try TemporaryFolder()
    let photo = Fixtures.project.appending("samples/photos/cat.jpg").string
    let page = folder.path.appending("p.html").string
    for options in [["--html", page, "--output", folder.path.string], [], ["--html", page, "--layer", "0"]] {
      let run = try Command.run("attention", [photo, "--model", Command.tiny] + options)
      #expect(run.status == 64, "\(options)")
    }
    let missing = try Command.run("attention", ["/nowhere.jpg", "--model", Command.tiny, "--html", page])
    #expect(missing.status == 2 && !FileManager.default.fileExists(atPath: page))
    let bare = try Command.run(
      "attention",
      [photo, "--model", Fixtures.models.appending("hf-dinov2-registers").string, "--html", page])
    #expect(bare.status == 0 && bare.errors.contains("the page has no attributions"), "\(bare.errors)")
    let text = try String(contentsOfFile: page, encoding: .utf8)
    #expect(!text.contains("http") && text.hasSuffix("</html>\n"))
  }
}
