import Quantization
import Testing

/// Which rows of the calibration images are kept to judge layers by.
@Suite struct SamplePlanTests {
  /// Of few images and of many: about as many rows as asked for, as many of either half, at most a tenth of them first tokens.
  @Test(arguments: [1, 2, 7, 40, 103, 128, 400, 600, 1024, 1100, 1300, 5000, 10_000])
  func keepsAsManyOfManyImages(_ images: Int) {
    let (asked, tokens) = (1024, 197)
    let plan = SamplePlan(keeping: asked, ofImages: images)
    var counts = [0, 0]
    var firsts = 0
    for image in 0..<images {
      let rows = plan.rows(ofImage: image, tokens: tokens)
      #expect(rows == rows.sorted() && Set(rows).count == rows.count)
      #expect(rows.allSatisfy { (0..<tokens).contains($0) })
      counts[image % 2] += rows.count
      firsts += rows.first == 0 ? 1 : 0
    }
    let total = counts[0] + counts[1]
    // Whole rows of each image may be twice as many as asked for; those of an image are no more than its tokens.
    #expect(total <= 2 * asked && total >= min(asked, images * tokens) - 2, "\(total)")
    #expect(abs(counts[0] - counts[1]) <= max(total / images, 1) + 1, "\(counts)")
    #expect(firsts <= max(images < 10 ? images : 0, total / 10 + 2), "\(firsts) of \(total)")
    #expect(firsts > 0)
  }

  /// A network of one token has no other.
  @Test func oneToken() {
    #expect(SamplePlan(keeping: 64, ofImages: 8).rows(ofImage: 3, tokens: 1) == [0])
  }
}
