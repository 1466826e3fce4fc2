import Figures
import Foundation
import Images
import SystemPackage
import TestSupport
import Testing

@Suite struct ExplorerTests {
  /// A page of ViT-B at 224 pixels stays below 3 MB, whether its heads look at some patches or, harder to compress, at all of them in a
  /// noise; and what is shorter is not made coarser.
  @Test(arguments: [Float(6), 0.3]) func size(_ spread: Float) throws {
    let (layers, heads, side) = (12, 12, 14)
    var random = SplitMix64(state: 4)
    var maps = ExplorerMaps(layers: layers, heads: heads, rows: side, columns: side)
    for layer in 0..<layers {
      for head in 0..<heads {
        for query in 0...side * side {
          let scores = (0..<side * side).map { _ in
            Foundation.exp(spread * Float.random(in: 0...1, using: &random))
          }
          let sum = scores.reduce(0, +)
          maps.set(layer: layer, head: head, query: query, scores.map { $0 / sum })
        }
      }
    }
    for query in 0...side * side {
      maps.setRollout(query: query, (0..<side * side).map { _ in Float.random(in: 0...0.01, using: &random) })
    }
    for _ in 0..<5 {
      maps.addAttribution((0..<side * side).map { _ in Float.random(in: 0...1, using: &random) })
    }
    let photo = Image(
      width: 448, height: 448,
      pixels: (0..<448 * 448 * 3).map { _ in UInt8.random(in: 90...140, using: &random) })
    let folder = try TemporaryFolder()
    let path = folder.path.appending("page.html")
    let file = try ExplorerFile(path, model: "a model")
    let picture = ExplorerFile.Picture(
      photo: photo, maps: maps, hasClassToken: true, predictions: [("cat", 0.5)])
    try file.add(try picture.encoded(limit: 2_926_000))
    try file.finish(names: ["</script>"])
    let page = try Data(contentsOf: URL(fileURLWithPath: path.string))
    #expect(page.count < 3_000_000 && page.count > 1_000_000)
    #expect(!String(decoding: page, as: UTF8.self).contains("\"</script>"))
  }
}
