import Foundation
import Images
import Pipeline
import SystemPackage
import TestSupport
import Testing
import VisionTransformer

@Suite struct PredictionTests {
  @Test func softmaxAndOrder() {
    let top = Prediction.top(3, of: [0, 2, 1, 2], labels: ["a", "b", "c", "d"])
    let total = 1 + 2 * exp(2.0) + exp(1.0)
    #expect(top.map(\.label) == ["b", "d", "c"])
    #expect(abs(top[0].probability - exp(2.0) / total) < 1e-12)
    #expect(
      abs(Prediction.top(9, of: [0, 2, 1, 2], labels: nil).reduce(0) { $0 + $1.probability } - 1) < 1e-12)
  }

  @Test func largeLogits() {
    let top = Prediction.top(2, of: [3e38, -3e38], labels: nil)
    #expect(top.map(\.probability) == [1, 0])
  }
}

@Suite struct ResultFormatTests {
  static let good = ClassificationRecord(
    path: "photos/a,\"b\"\n.jpg",
    outcome: .predictions(
      size: ImageSize(height: 480, width: 640),
      [
        Prediction(index: 3, label: "cat, tabby", probability: 0.9125),
        Prediction(index: 0, label: "dog", probability: 1e-9),
      ]))
  static let bad = ClassificationRecord(path: "broken.jpg", outcome: .error("truncated JPEG: 3 of 48 bytes"))

  @Test func jsonLines() throws {
    #expect(
      ResultFormat.jsonl.lines(for: Self.good)
        == #"{"path":"photos/a,\"b\"\n.jpg","width":640,"height":480,"predictions":[{"index":3,"label":"cat, tabby","#
        + #""probability":0.9125},{"index":0,"label":"dog","probability":1e-09}]}"# + "\n")
    #expect(
      ResultFormat.jsonl.lines(for: Self.bad)
        == #"{"path":"broken.jpg","error":"truncated JPEG: 3 of 48 bytes"}"# + "\n")
    for record in [Self.good, Self.bad] {
      let data = Data(ResultFormat.jsonl.lines(for: record).utf8)
      let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
      #expect(object["path"] as? String == record.path.string)
    }
  }

  @Test func csv() {
    #expect(ResultFormat.csv.header == "path,rank,index,label,probability,error\n")
    #expect(
      ResultFormat.csv.lines(for: Self.good)
        == "\"photos/a,\"\"b\"\"\n.jpg\",1,3,\"cat, tabby\",0.9125,\n\"photos/a,\"\"b\"\"\n.jpg\",2,0,dog,1e-09,\n"
    )
    #expect(ResultFormat.csv.lines(for: Self.bad) == "broken.jpg,,,,,truncated JPEG: 3 of 48 bytes\n")
  }

  @Test func tableKeepsNamesFromCommandingTheTerminal() {
    let record = ClassificationRecord(path: "a\u{1B}[2J.jpg", outcome: .error("no"))
    #expect(ResultFormat.table.lines(for: record) == "a\\u{1B}[2J.jpg\n  error: no\n")
    #expect(ResultFormat.table.lines(for: Self.good).contains("   91.3 %  cat, tabby\n    0.0 %  dog\n"))
  }
}

@Suite struct NumpyFileTests {
  /// Shape and values, read as numpy reads them.
  static func read(_ path: FilePath) throws -> (shape: [Int], values: [Float]) {
    let data = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path.string)))
    try #require(data.prefix(8) == [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 1, 0])
    let length = Int(data[8]) + Int(data[9]) << 8
    #expect((10 + length).isMultiple(of: 64))
    let header = String(decoding: data[10..<10 + length], as: UTF8.self)
    #expect(header.hasPrefix("{'descr': '<f4', 'fortran_order': False, 'shape': (") && header.hasSuffix("\n"))
    let shape = try #require(header.split(separator: "(").last?.split(separator: ")").first)
      .split(separator: ",").compactMap { Int($0.filter { $0 != " " }) }
    let values = data[(10 + length)...].withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
    #expect(values.count == shape.reduce(1, *))
    return (shape, values)
  }

  @Test func growsByRows() throws {
    let folder = try TemporaryFolder()
    let path = folder.path.appending("a.npy")
    let file = try NumpyFile(path, rowShape: [2, 3])
    #expect(try Self.read(path).shape == [0, 2, 3])
    try file.append([1, 2, 3, 4, 5, 6])
    try file.append(nil)
    let (shape, values) = try Self.read(path)
    #expect(shape == [2, 2, 3])
    #expect(values.prefix(6) == [1, 2, 3, 4, 5, 6])
    #expect(values.dropFirst(6).allSatisfy { $0.isNaN })
  }

  @Test func wholeArray() throws {
    let folder = try TemporaryFolder()
    let path = folder.path.appending("a.npy")
    try NumpyFile.write([1, 2, 3], shape: [3], to: path)
    let (shape, values) = try Self.read(path)
    #expect(shape == [3] && values == [1, 2, 3])
  }

  @Test func continues() throws {
    let folder = try TemporaryFolder()
    let path = folder.path.appending("a.npy")
    do {
      let file = try NumpyFile(path, rowShape: [2])
      for row in 0..<4 { try file.append([Float(row), 0]) }
    }
    let file = try NumpyFile(path, rowShape: [2], keepingRows: 3)
    try file.append([9, 9])
    #expect(try Self.read(path).values == [0, 0, 1, 0, 2, 0, 9, 9])
    #expect(throws: PipelineError.self) { try NumpyFile(path, rowShape: [3], keepingRows: 2) }
    #expect(throws: PipelineError.self) { try NumpyFile(path, rowShape: [2], keepingRows: 5) }
  }
}

@Suite struct ResumeTests {
  static let names = ["a.jpg", "b,\"\n.jpg", "c.jpg", "d.jpg"]

  /// The results of all names; "b" failed.
  private func records(_ folder: TemporaryFolder) -> [ClassificationRecord] {
    Self.names.map { name in
      ClassificationRecord(
        path: folder.path.appending(name),
        outcome: name.hasPrefix("b")
          ? .error("broken, \"quoted\"")
          : .predictions(
            size: ImageSize(height: 1, width: 1),
            (0..<3).map { Prediction(index: $0, label: "l", probability: 0.5) }))
    }
  }

  /// However short the results were cut, what is continued is whole, and together they are all.
  @Test(arguments: [ResultFormat.jsonl, .csv]) func anyCut(_ format: ResultFormat) throws {
    let folder = try TemporaryFolder()
    for name in Self.names { try folder.write("", to: name) }
    let records = records(folder)
    let pieces = [format.header] + records.map { format.lines(for: $0) }
    let whole = Array(pieces.joined().utf8)
    for count in 0...whole.count {
      let file = try folder.write(whole.prefix(count), to: "results")
      var walker = PathWalker([folder.path])
      let point = try ResumePoint(
        file, format: format, predictions: 3, walker: &walker, cancellation: Cancellation())
      let kept = pieces.prefix(point.inputs + (point.bytes > 0 || format == .jsonl ? 1 : 0)).joined()
      #expect(point.bytes == kept.utf8.count && point.bytes <= count, "cut to \(count)")
      #expect(point.failed == (point.inputs > 1 ? 1 : 0))
      #expect(
        walker.next()?.path.lastComponent?.string == (point.inputs < 4 ? Self.names[point.inputs] : nil))
      let next = pieces.count > point.inputs + 1 ? pieces[point.inputs + 1].utf8.count : 1
      #expect(count - point.bytes < max(next, format.header.utf8.count + 1), "a whole result was thrown away")
    }
  }

  @Test func otherInputs() throws {
    let folder = try TemporaryFolder()
    try folder.write("", to: "a.jpg")
    let file = try folder.write("{\"path\":\"other.jpg\",\"error\":\"x\"}\n", to: "results.jsonl")
    var walker = PathWalker([folder.path])
    let error = try #require(throws: PipelineError.self) {
      try ResumePoint(file, format: .jsonl, predictions: 1, walker: &walker, cancellation: Cancellation())
    }
    #expect(
      "\(error)".contains(
        "results.jsonl, line 1: cannot resume: the results are for \"other.jpg\", but the inputs have"))
  }

  @Test func otherFiles() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write("hello\nworld\n", to: "results")
    for format in [ResultFormat.jsonl, .csv] {
      var walker = PathWalker([folder.path])
      #expect(throws: PipelineError.self) {
        try ResumePoint(file, format: format, predictions: 1, walker: &walker, cancellation: Cancellation())
      }
    }
  }

  @Test func otherTopK() throws {
    let folder = try TemporaryFolder()
    for name in Self.names { try folder.write("", to: name) }
    let file = try folder.write(
      ResultFormat.csv.header + records(folder).map { ResultFormat.csv.lines(for: $0) }.joined(),
      to: "results.csv")
    for predictions in [2, 5] {
      var walker = PathWalker([folder.path])
      let error = try #require(throws: PipelineError.self) {
        try ResumePoint(
          file, format: .csv, predictions: predictions, walker: &walker, cancellation: Cancellation())
      }
      #expect("\(error)".contains("another --top-k"))
    }
  }
}
