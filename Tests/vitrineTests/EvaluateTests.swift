import Foundation
import SystemPackage
import TestSupport
import Testing

@Suite struct EvaluateTests {
  private static let model = Fixtures.project.appending("samples/models/cifar10").string
  private static let archives = Fixtures.folder.appending("datasets")
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  private func object(_ path: FilePath) throws -> [String: Any] {
    try #require(
      try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path.string)))
        as? [String: Any])
  }

  /// The sample photos, evaluated and classified: the two commands must agree on each.
  @Test func agreesWithClassify() throws {
    let (report, confusion) = (folder.path.appending("r.json"), folder.path.appending("c.csv"))
    let run = try Command.run(
      "evaluate", Command.photos, "--model", Self.model, "--report", report.string, "--confusion",
      confusion.string,
      "--batch-size", "4")
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.errors == "\(Command.photos): class folders, all: 30 images\n")
    let classified = try Command.run("classify", Command.photos, "--model", Self.model, "--format", "jsonl")
    var (right, inFive) = (0, 0)
    var loss = 0.0
    var taken: [String: Int] = [:]
    for line in classified.lines {
      let entry = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      let path = try #require(entry["path"] as? String)
      let label = String(path.split(separator: "/").dropLast().last ?? "")
      let predictions = try #require(entry["predictions"] as? [[String: Any]])
      let names = predictions.compactMap { $0["label"] as? String }
      if names.first == label { right += 1 }
      if let place = names.firstIndex(of: label),
        let probability = predictions[place]["probability"] as? Double
      {
        inFive += 1
        loss -= log(probability)
      }
      taken["\(label)-\(names[0])", default: 0] += 1
    }
    let result = try object(report)
    #expect(result["images"] as? Int == 30 && result["skipped"] as? Int == 0)
    #expect(abs((result["top1"] as? Double ?? 0) - Double(right) / 30) < 1e-12)
    #expect(abs((result["top5"] as? Double ?? 0) - Double(inFive) / 30) < 1e-12)
    if inFive == 30 { #expect(abs((result["loss"] as? Double ?? 0) - loss / 30) < 1e-5) }
    let classes = try #require(result["classes"] as? [[String: Any]])
    #expect(classes.compactMap { $0["images"] as? Int } == Array(repeating: 3, count: 10))
    #expect(classes.first?["label"] as? String == "airplane")
    let rows = try String(contentsOfFile: confusion.string, encoding: .utf8).split(separator: "\n").map {
      $0.split(separator: ",").map(String.init)
    }
    #expect(rows.count == 11 && rows[0][1...] == rows.dropFirst().map { $0[0] }[...])
    for row in rows.dropFirst() {
      for (label, count) in zip(rows[0], row).dropFirst() {
        #expect(Int(count) == taken["\(row[0])-\(label)", default: 0])
      }
    }
    #expect(run.lines.first?.hasPrefix("class") == true && run.lines.last?.hasPrefix("top-1 ") == true)
  }

  @Test(arguments: [
    ("folders.tar.gz", 2, "class folders, test"), ("long-plain.tar", 2, "class folders, test"),
    ("cifar-10-binary.tar.gz", 4, "CIFAR-10, binary version, test"),
    ("cifar-10-python.tar.gz", 4, "CIFAR-10, Python version, test"),
  ]) func archives(_ name: String, _ count: Int, _ description: String) throws {
    let path = Self.archives.appending(name).string
    let run = try Command.run("evaluate", path, "--model", Self.model)
    #expect(run.status == 0 && run.errors == "\(path): \(description): \(count) images\n", "\(run.errors)")
    let train = try Command.run("evaluate", path, "--model", Self.model, "--split", "train", "--quiet")
    #expect(train.status == 0 && train.errors.isEmpty)
    let missing = try Command.run("evaluate", path, "--model", Self.model, "--split", "val")
    #expect(missing.status == 1 && missing.errors.contains("there is no val part; there is train, test"))
  }

  @Test func badImages() throws {
    try folder.copy(FilePath(Command.photos).appending("cat/0100.jpg"), to: "data/cat/a.jpg")
    let bad = try folder.write([0xFF, 0xD8, 0xFF, 0xE0], to: "data/cat/b.jpg")
    try folder.copy(FilePath(Command.photos).appending("ship/0100.jpg"), to: "data/ship/c.jpg")
    let report = folder.path.appending("r.json")
    let run = try Command.run(
      "evaluate", folder.path.appending("data").string, "--model", Self.model, "--report", report.string)
    #expect(run.status == 2)
    #expect(run.errors.contains("error: \(bad): truncated JPEG"), "\(run.errors)")
    let result = try object(report)
    #expect(result["images"] as? Int == 2 && result["skipped"] as? Int == 1)
  }

  /// Names that are not the model's: by order where there are as many, else not at all.
  @Test func otherNames() throws {
    let names = (0..<10).map { "n\($0)" }
    for (index, name) in [
      "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ].enumerated() {
      try folder.copy(
        FilePath(Command.photos).appending("\(name)/0100.jpg"), to: "data/\(names[index])/a.jpg")
    }
    let path = folder.path.appending("data").string
    let run = try Command.run("evaluate", path, "--model", Self.model)
    #expect(
      run.status == 0 && run.errors.contains("warning: \(path): the classes' names are not the model's"))
    let labels = try folder.write(names.reversed().joined(separator: "\n"), to: "labels.txt").string
    let reversed = try Command.run("evaluate", path, "--model", Self.model, "--labels", labels)
    #expect(reversed.status == 0 && !reversed.errors.contains("warning"))
    #expect(reversed.lines.last != run.lines.last)
    try folder.copy(FilePath(Command.photos).appending("cat/0100.jpg"), to: "data/extra/a.jpg")
    let more = try Command.run("evaluate", path, "--model", Self.model)
    #expect(
      more.status == 1 && more.errors.contains("0 of the data set's 11 classes are found by name"),
      "\(more.errors)")
    let classes = try folder.write((["extra"] + names).joined(separator: "\n"), to: "classes.txt").string
    let named = try Command.run("evaluate", path, "--model", Self.model, "--classes", classes)
    #expect(named.status == 1 && named.errors.contains("\"extra\" is not"))
  }

  /// Nothing that the run needs is overwritten, and a report has null for what is not known.
  @Test func files() throws {
    let photo = FilePath(Command.photos).appending("cat/0100.jpg").string
    let names = try folder.write("cat\ndog\n", to: "names.csv").string
    let list = try folder.write("path,label\n\(photo),cat\n", to: "list.csv").string
    let ten = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n"
    for (option, text) in [("--classes", "cat\ndog\n"), ("--labels", ten)] {
      let used = try folder.write(text, to: "used.csv").string
      let run = try Command.run(
        "evaluate", list, "--model", Self.model, "--classes", names, option, used, "--confusion", used)
      #expect(run.status == 1 && run.errors.contains("write the results somewhere else"), "\(run.errors)")
      #expect(try String(contentsOfFile: used, encoding: .utf8) == text)
    }
    let report = folder.path.appending("r.json")
    let run = try Command.run(
      "evaluate", list, "--model", Self.model, "--classes", names, "--report", report.string)
    #expect(run.status == 0, "\(run.errors)")
    let classes = try #require(try object(report)["classes"] as? [[String: Any]])
    #expect(classes.count == 2 && classes[0]["top1"] is Double && classes[1]["top1"] is NSNull)
  }

  @Test func mistakes() throws {
    for (arguments, status, message) in [
      (["/nowhere", "--model", Self.model], 1, "/nowhere: there is no such file or folder"),
      ([Self.model, "--model", Self.model], 1, "not a data set: "),
      (
        [Command.photos, "--model", Fixtures.models.appending("timm-dinov2").string], 1,
        "no classification head"
      ),
      ([Command.photos, "--model", Self.model, "--confusion", "c.jpg"], 64, "name the file .csv or .png"),
      ([Command.photos, "--model", Self.model, "--split", "rest"], 64, "split"),
      ([Command.photos], 64, "--model"),
    ] as [([String], Int32, String)] {
      let quoted = arguments.map { "'\($0)'" }.joined(separator: " ")
      let run = try Command.shell("\"$vitrine\" evaluate \(quoted)")
      #expect(run.status == status && run.output.isEmpty && run.errors.contains(message), "\(run.errors)")
    }
  }
}
