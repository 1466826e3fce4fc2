import Foundation
import Pipeline
import SystemPackage
import TestSupport
import Testing

@Suite struct ClassMappingTests {
  @Test func byName() throws {
    let labels = ["tench, Tinca tinca", "Great white shark, white shark", "tabby-cat", "crane", "crane"]
    let mapping = try ClassMapping(
      of: ["Tabby_Cat", "great white shark", "tench"], to: labels, numClasses: 5)
    #expect(mapping.method == .names && mapping.indices == [2, 1, 0])
    #expect(try ClassMapping(of: ["tench, tinca tinca"], to: labels, numClasses: 5).indices == [0])
  }

  @Test func byOrder() throws {
    for labels in [nil, ["a", "b"]] {
      let mapping = try ClassMapping(of: ["n01", "n02"], to: labels, numClasses: 2)
      #expect(mapping.method == .order && mapping.indices == [0, 1])
    }
  }

  @Test func neither() {
    func failure(_ names: [String], _ labels: [String]?, _ count: Int) -> String {
      let error = #expect(throws: ClassMappingError.self) {
        try ClassMapping(of: names, to: labels, numClasses: count)
      }
      return error.map { "\($0)" } ?? ""
    }
    #expect(
      failure(["a", "c"], ["a", "b"], 2).hasPrefix(
        "1 of the data set's 2 classes are found by name among the model's 2, \"c\""))
    #expect(failure(["a"], nil, 2).hasPrefix("0 of the data set's 1 classes"))
    #expect(failure(["crane"], ["crane", "crane"], 2).contains("\"crane\" is not"))
    #expect(failure(["a b", "A-B"], ["a_b", "c"], 2).hasSuffix("the name of one of the model's: a b, A-B"))
  }
}

@Suite struct EvaluationTests {
  private func evaluation(_ names: [String], _ indices: [String], count: Int) throws -> Evaluation {
    Evaluation(
      classNames: names, mapping: try ClassMapping(of: names, to: indices, numClasses: count),
      numClasses: count)
  }

  @Test func countsAndLoss() throws {
    var evaluation = try evaluation(["b", "a,\"x\""], ["a,\"x\"", "b", "c", "d", "e", "f", "g"], count: 7)
    evaluation.add(label: 0, logits: [0, 3, 1, 2, 0, 0, 0])  // right
    evaluation.add(label: 0, logits: [9, 3, 4, 5, 6, 7, 8])  // seventh
    evaluation.add(label: 1, logits: [1, 1, 1, 1, 1, 1, 1])  // the first of equals
    evaluation.add(label: 0, logits: [1, 1, 1, 1, 1, 1, 1])  // the second of equals
    evaluation.add(label: 1, logits: nil)
    let report = evaluation.report
    #expect(report.images == 4 && report.skipped == 1 && report.top1 == 0.5 && report.top5 == 0.75)
    let losses = [
      log(exp(0.0) * 4 + exp(3.0) + exp(1.0) + exp(2.0)) - 3,
      log((3...9).reduce(0.0) { $0 + exp(Double($1)) }) - 3, log(7.0), log(7.0),
    ]
    #expect(abs((report.loss ?? 0) - losses.reduce(0, +) / 4) < 1e-12)
    #expect(report.classes.map(\.label) == ["b", "a,\"x\""] && report.classes.map(\.images) == [3, 1])
    #expect(report.classes.map(\.top1) == [1 / 3.0, 1])
    #expect(
      evaluation.confusionCSV(labels: ["a,\"x\"", "b", "c", "d", "e", "f", "g"])
        == "class,\"a,\"\"x\"\"\",b,c,d,e,f,g\nb,2,1,0,0,0,0,0\n\"a,\"\"x\"\"\",1,0,0,0,0,0,0")
    #expect(evaluation.confusionCSV(labels: nil).hasPrefix("class,0,1,2,3,4,5,6\n"))
    let aligned = evaluation.alignedConfusion(labels: ["a,\"x\"", "b", "c", "d", "e", "f", "g"])
    // What is right lies on the diagonal: the model has the two classes the other way around.
    #expect(aligned.columns == ["b", "a,\"x\""] && aligned.counts == [[1, 2], [0, 1]])
    evaluation.add(label: 1, logits: [0, 0, 0, 0, 5, 0, 0])
    let withOthers = evaluation.alignedConfusion(labels: nil)
    #expect(withOthers.columns == ["1", "0", "another class"])
    #expect(withOthers.counts == [[1, 2, 0], [0, 1, 1]])
    #expect(report.table.contains("b                 3   33.33 %\n"))
    #expect(
      report.table.hasSuffix("all               4   50.00 %\n\ntop-1 50.00 %  top-5 75.00 %  loss 2.7204"),
      "\(report.table)")
  }

  /// Logits whose exponentials are no numbers.
  @Test func largeLogits() throws {
    var evaluation = try evaluation(["a", "b"], ["a", "b"], count: 2)
    evaluation.add(label: 1, logits: [1000, 0])
    #expect(evaluation.report.loss == 1000)
  }

  @Test func nothing() throws {
    let report = try evaluation(["a", "b"], ["a", "b"], count: 2).report
    #expect(report.images == 0 && report.top1 == nil && report.loss == nil && report.classes[1].top1 == nil)
    #expect(report.table.hasSuffix("top-1 -  top-5 -  loss -"))
    let folder = try TemporaryFolder()
    let path = folder.path.appending("r.json")
    try report.write(to: path)
    let data = try Data(contentsOf: URL(fileURLWithPath: path.string))
    #expect(try JSONDecoder().decode(EvaluationReport.self, from: data) == report)
  }
}
