import Figures
import Foundation
import Images
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

  private func isPressed(_ button: String, _ browser: Browser) throws -> Bool {
    try browser.text("document.getElementById('\(button)').getAttribute('aria-pressed')") == "true"
  }

  /// An attribution is looked at with the mouse on it, and left by asking for a patch.
  @Test func attributionsStay() throws {
    let browser = try Browser(page: try page([Self.photos.appending("dog.jpg").string]))
    try browser.wait(for: "document.body?.dataset.ready === '0'")
    let view = try browser.box("#view")
    let (x, y) = (view[0] + view[2] / 3, view[1] + view[3] / 3)
    let pixels =
      "Array.from(document.getElementById('view').getContext('2d').getImageData(0, 0, 1120, 1120).data).join()"
    try browser.click("#attribution")
    let before = try browser.text(pixels)
    try browser.moveMouse(to: x, y)
    try browser.moveMouse(to: 2, 2)
    #expect(try browser.text(Self.status).hasPrefix("What speaks for"))
    _ = try browser.evaluate("document.getElementById('view').focus()")
    for key in ["Escape", "Enter"] { try browser.press(key) }
    // What is drawn anew is what the page says.
    for _ in 0..<2 { try browser.click("#smooth") }
    #expect(try browser.text(pixels) == before)
    #expect(try browser.text(Self.status).hasPrefix("What speaks for"))
    #expect(try isPressed("attribution", browser) && !isPressed("attention", browser))
    #expect(try browser.text("document.getElementById('high').textContent") == "most")

    try browser.click(x, y)
    let status = try browser.text(Self.status)
    #expect(status.hasPrefix("Patch at row 2, column 2, layer 5") && status.hasSuffix("Held."), "\(status)")
    #expect(try isPressed("attention", browser) && !isPressed("attribution", browser))
    #expect(try browser.text(pixels) != before)
    #expect(browser.exceptions.isEmpty)
  }

  /// Many values of a map are alike in 16 levels or fewer; the page names the largest nevertheless.
  @Test func largestValues() throws {
    let (layers, heads, side, classes) = (2, 3, 20, 2)
    let patches = side * side
    var maps = ExplorerMaps(layers: layers, heads: heads, rows: side, columns: side)
    var random = SplitMix64(state: 7)
    func map() -> (values: [Float], peak: Int) {
      var values = (0..<patches).map { _ in Float.random(in: 0.0049...0.005, using: &random) }
      let peak = Int.random(in: 0..<patches, using: &random)
      values[peak] = 0.00501
      return (values, peak)
    }
    let queries = [0, 1, patches]
    var expected: [Int] = []
    for layer in 0..<layers {
      var peaks = Array(repeating: [Int](), count: queries.count)
      var sums = Array(repeating: [Float](repeating: 0, count: patches), count: queries.count)
      for head in 0..<heads {
        for query in 0...patches {
          let (values, peak) = map()
          maps.set(layer: layer, head: head, query: query, values)
          guard let place = queries.firstIndex(of: query) else { continue }
          peaks[place].append(peak)
          for index in values.indices { sums[place][index] += values[index] }
        }
      }
      for (sum, peaks) in zip(sums, peaks) {
        expected.append(sum.firstIndex(of: sum.max() ?? 0) ?? -1)
        expected += peaks
      }
    }
    for query in 0...patches {
      let (values, peak) = map()
      maps.setRollout(query: query, values)
      if queries.contains(query) { expected.append(peak) }
    }
    for _ in 0..<classes {
      let (values, peak) = map()
      maps.addAttribution(values)
      expected.append(peak)
    }
    let photo = Image(width: 40, height: 40, pixels: [UInt8](repeating: 120, count: 4800))
    let page = folder.path.appending("page.html")
    let file = try ExplorerFile(page, model: "a model")
    let picture = ExplorerFile.Picture(
      photo: photo, maps: maps, hasClassToken: true, predictions: [("cat", 0.5), ("dog", 0.4)])
    try file.add(try picture.encoded(limit: 1_000_000))
    try file.finish(names: ["</script>"])

    let browser = try Browser(page: page)
    try browser.wait(for: "document.body?.dataset.ready === '0'")
    #expect(try browser.text("document.title") == "</script> - where it looks")
    let said = try browser.text(
      """
      (() => {
        const said = [], queries = [\(queries.map(String.init).joined(separator: ", "))];
        function say(change) {
          Object.assign(state, change);
          draw();
          const [, row, column] = document.getElementById("status").textContent.match(/.*row (\\d+), column (\\d+)/);
          said.push(\(side) * Number(row) + Number(column));
        }
        for (let layer = 0; layer < \(layers); layer++)
          for (const query of queries)
            for (let head = -1; head < \(heads); head++) say({ mode: "attention", layer, head, query });
        for (const query of queries) say({ mode: "rollout", query });
        for (let label = 0; label < \(classes); label++) say({ mode: "attribution", label });
        return said.join();
      })()
      """)
    #expect(said.split(separator: ",").compactMap { Int($0) } == expected)
    #expect(browser.exceptions.isEmpty)
  }

  /// The layer that was chosen is kept from picture to picture, and the picture that was asked for last is the one that is shown.
  @Test func galleryKeepsWhatWasChosen() throws {
    let first = try folder.copy(Self.photos.appending("dog.jpg"), to: "a/pet.jpg")
    let second = try folder.copy(Self.photos.appending("cat.jpg"), to: "b/pet.jpg")
    let page = try page([first.string, second.string], model: Command.tiny)
    let browser = try Browser(page: page)
    try browser.wait(for: "document.body?.dataset.ready === '0'")
    let title = "document.querySelector('h1').textContent"
    let names = "Array.from(document.querySelectorAll('#gallery button'), (each) => each.textContent).join()"
    #expect(try browser.text(names) == "a/pet.jpg,b/pet.jpg")
    #expect(try browser.text("document.title") == "a/pet.jpg - where it looks")

    // A picture that cannot be read is named, and the page stays where it is.
    _ = try browser.evaluate(
      "window.kept = $('photo-1').textContent, $('photo-1').textContent = 'data:image/png;base64,AAAA'")
    try browser.click("#gallery button:nth-child(2)")
    try browser.wait(for: "$('status').textContent === 'b/pet.jpg cannot be shown: the photo cannot be read'")
    #expect(try browser.text(title) == "a/pet.jpg")
    _ = try browser.evaluate("$('photo-1').textContent = window.kept")

    let buttons = "document.querySelectorAll('#gallery button')"
    _ = try browser.evaluate("\(buttons)[1].click(), \(buttons)[0].click()")
    try browser.wait(for: "pictures[1].bytes !== undefined")
    #expect(try browser.text(title) == "a/pet.jpg")

    _ = try browser.evaluate("document.getElementById('layer').focus()")
    try browser.press("ArrowLeft")
    #expect(try browser.text(Self.status).contains("layer 0"))
    try browser.click("#gallery button:nth-child(2)")
    try browser.wait(for: "document.body?.dataset.ready === '1'")
    #expect(try browser.text(Self.status).contains("layer 0"))
    #expect(try browser.text("document.title") == "b/pet.jpg - where it looks")
    // The scale's ends are the map's, of which the highest hundredth shares a colour.
    for end in ["low", "high"] {
      let text = try browser.text("document.getElementById('\(end)').textContent")
      #expect(try #require(Double(text.prefix { $0 != " " })) > 0, "\(end): \(text)")
    }
    let colors = try browser.text(
      "Array.from(document.getElementById('bar').getContext('2d').getImageData(0, 0, 256, 1).data).join()")
    #expect(colors.hasPrefix("68,1,84,255,") && colors.hasSuffix(",253,231,37,255"))
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

  /// More images than a page holds: it is there, and the run ends, whatever would have come.
  @Test func fullPages() throws {
    let folder = try TemporaryFolder()
    try folder.write("no image", to: "photos/000.png")
    for index in 1...102 {
      try folder.copy(
        FilePath(Command.photos).appending("cat/0100.jpg"),
        to: "photos/\(String(index + 1000).dropFirst()).jpg")
    }
    let page = folder.path.appending("p.html").string
    let run = try Command.run(
      "attention", [folder.path.appending("photos").string, "--model", Command.tiny, "--html", page])
    #expect(run.status == 2 && run.lines == [page], "\(run.errors)")
    #expect(run.errors.contains("p.html has the first 100 images"), "\(run.errors)")
    let text = try String(contentsOfFile: page, encoding: .utf8)
    #expect(text.contains("data-picture=\"99\"") && !text.contains("data-picture=\"100\""))
    #expect(text.contains("\"100.jpg\"]") && text.hasSuffix("</html>\n"))
  }
}
