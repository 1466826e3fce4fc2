import Foundation
import Images
import SystemPackage
import TestSupport
import Testing
import Training

/// Data sets in folders and archives of folders.
@Suite struct DatasetTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  static let archives = Fixtures.folder.appending("datasets")
  private static let photos = Fixtures.project.appending("samples/cifar10")

  private func photo(_ name: String, to target: String) throws {
    try folder.copy(Self.photos.appending(name), to: target)
  }

  /// The message of the error that opening the data set, or one of its parts, must give.
  private func failure(_ path: FilePath, classes: FilePath? = nil, _ split: DatasetSplit? = nil) throws
    -> String
  {
    let error = try #require(throws: (any Error).self) {
      let source = try DatasetSource(path, classes: classes)
      _ = try source.dataset(split ?? source.splits[0])
    }
    return "\(error)"
  }

  @Test func plainClassFolders() throws {
    let source = try DatasetSource(Self.photos)
    #expect(
      source.splits == [.all] && source.description == "class folders" && source.evaluationSplit == .all)
    let dataset = try source.dataset(.all)
    #expect(dataset.count == 30 && dataset.classNames.count == 10 && dataset.classNames.first == "airplane")
    #expect(dataset.classCounts == Array(repeating: 3, count: 10))
    #expect(dataset.name(4) == Self.photos.appending("automobile/0500.jpg").string && dataset.label(4) == 1)
    #expect(try dataset.image(4) == Image(contentsOf: FilePath(dataset.name(4))))
  }

  @Test func partsInFolders() throws {
    for (target, name) in [
      ("data/train/cat/a.jpg", "cat/0100.jpg"), ("data/train/cat/deep/er/b.jpg", "cat/0500.jpg"),
      ("data/train/ship/c.jpg", "ship/0100.jpg"), ("data/val/cat/d.jpg", "cat/0900.jpg"),
      ("data/test/ship/e.jpg", "ship/0900.jpg"),
    ] { try photo(name, to: target) }
    try folder.write("notes", to: "data/train/cat/notes.txt")
    try folder.write("hidden", to: "data/train/.git/x.jpg")
    // The folder itself, and one around it.
    for path in [folder.path.appending("data"), folder.path] {
      let source = try DatasetSource(path)
      #expect(source.splits == [.train, .validation, .test] && source.evaluationSplit == .test)
      let train = try source.dataset(.train)
      #expect(train.classNames == ["cat", "ship"] && (0..<train.count).map(train.label) == [0, 0, 1])
      #expect(train.name(1).hasSuffix("data/train/cat/deep/er/b.jpg"))
      let test = try source.dataset(.test)
      #expect(test.classNames == ["cat", "ship"] && test.count == 1 && test.label(0) == 1)
      let (both, validation) = try source.trainingSets(seed: 1)
      #expect(both.count == 3 && validation?.count == 1 && validation?.label(0) == 0)
      #expect(try failure(path, .all).contains("there is no all part; there is train, val, test"))
    }
  }

  /// A class may be called as a part is.
  @Test func classesCalledTrainAndTest() throws {
    for name in ["train", "test", "plane"] { try photo("cat/0100.jpg", to: "\(name)/a.jpg") }
    let source = try DatasetSource(folder.path)
    #expect(source.splits == [.all])
    #expect(try source.dataset(.all).classNames == ["plane", "test", "train"])
  }

  @Test(arguments: ["folders.tar.gz", "long-plain.tar", "long-gnu.tar.gz", "long-pieces.tar.gz"])
  func archives(_ name: String) throws {
    let source = try DatasetSource(Self.archives.appending(name))
    #expect(source.splits == [.train, .test])
    let train = try source.dataset(.train)
    #expect(train.classNames == ["cat", "ship"] && (0..<train.count).map(train.label) == [0, 0, 1, 1])
    #expect(train.name(1).hasSuffix("/train/cat/0500.jpg"))
    #expect(try train.image(1) == Image(contentsOf: Self.photos.appending("cat/0500.jpg")))
    #expect(try source.dataset(.test).count == 2)
  }

  @Test func classFile() throws {
    try photo("cat/0100.jpg", to: "data/cat/a.jpg")
    try photo("ship/0100.jpg", to: "data/ship/a.jpg")
    let path = folder.path.appending("data")
    let names = try folder.write("ship\r\n\n dog \ncat\n", to: "classes.txt")
    let dataset = try DatasetSource(path, classes: names).dataset(.all)
    #expect(dataset.classNames == ["ship", "dog", "cat"] && (0..<2).map(dataset.label) == [0, 2])
    let short = try folder.write("ship\ndog", to: "short.txt")
    #expect(try failure(path, classes: short).hasSuffix("\"cat\" is none of the 2 classes (ship, dog)"))
    let twice = try folder.write("ship\nship", to: "twice.txt")
    #expect(try failure(path, classes: twice).contains("a class is named twice"))
  }

  @Test func listOfLabels() throws {
    try photo("cat/0100.jpg", to: "images/a b.jpg")
    try photo("ship/0100.jpg", to: "images/c,d.jpg")
    func list(_ text: String, _ name: String = "list.csv") throws -> FilePath {
      try folder.write(text, to: name)
    }
    let named = try DatasetSource(
      list(
        "label,path,split\nship,\"images/c,d.jpg\",train\r\ncat,images/a b.jpg,training\ncat,images/a b.jpg,test\n"
      ))
    #expect(named.splits == [.train, .test])
    let train = try named.dataset(.train)
    #expect(train.classNames == ["cat", "ship"] && (0..<2).map(train.label) == [1, 0])
    #expect(try train.image(0) == Image(contentsOf: Self.photos.appending("ship/0100.jpg")))
    let indexed = try DatasetSource(list("path,label\nimages/a b.jpg,2\n")).dataset(.all)
    #expect(indexed.classNames == ["0", "1", "2"] && indexed.label(0) == 2)
    let names = try folder.write("a\nb", to: "classes.txt")
    #expect(
      try failure(list("path,label\nx.jpg,1\nx.jpg,2\n"), classes: names).hasSuffix(
        "line 3: label 2 is out of range: there are 2 classes, 0 to 1"))
    for (text, reason) in [
      ("path,label\nx.jpg,-1\n", "line 2: label -1 is out of range"), ("", "empty"),
      ("a,b\n1,2\n", "columns path and label"),
      ("path,label\n", "no line follows"), ("path,label\nx.jpg\n", "line 2 has 1 fields"),
      ("path,label\nx.jpg,\n", "or an empty one"),
      ("path,label,split\nx.jpg,1,later\n", "the split is \"later\""),
      ("path,label\nx.jpg,9999999999\n", "too large for the index"),
    ] { #expect(try failure(list(text)).contains(reason), "\(reason)") }
  }

  @Test func whatIsNoDataset() throws {
    try folder.write("x", to: "files/a.txt")
    try FileManager.default.createDirectory(
      atPath: folder.path.appending("empty").string, withIntermediateDirectories: true)
    let text = try folder.write("x", to: "a.txt")
    for (path, reason) in [
      (folder.path.appending("nothing"), "there is no such file or folder"), (text, "a file of another kind"),
      (folder.path.appending("empty"), "it is empty"),
      (folder.path.appending("files"), "1 files, the first of which is a.txt, but no class folders"),
    ] {
      let message = try failure(path)
      #expect(message.hasPrefix("\(path): ") && message.contains(reason), "\(message)")
    }
  }

  @Test func emptyAndSingleClasses() throws {
    try photo("cat/0100.jpg", to: "one/cat/a.jpg")
    let one = try DatasetSource(folder.path.appending("one"))
    #expect(try one.dataset(.all).count == 1)
    let error = #expect(throws: DatasetError.self) { try one.trainingSets(seed: 1) }
    #expect(error == .oneClass(path: folder.path.appending("one"), name: "cat"))
    try folder.write("no image", to: "one/dog/notes.txt")
    #expect(try failure(folder.path.appending("one")).hasSuffix("the class \"dog\" has no images"))
    // A class that only the test images have.
    for name in ["train/a/x.jpg", "train/b/x.jpg", "test/a/x.jpg", "test/c/x.jpg"] {
      try photo("cat/0100.jpg", to: "parts/\(name)")
    }
    #expect(
      try failure(folder.path.appending("parts"), .test).hasSuffix(
        "test: \"c\" is none of the 2 classes (a, b)"))
  }

  @Test func holdingOut() throws {
    let all = try DatasetSource(Self.photos).dataset(.all)
    let (rest, heldOut) = try all.holdingOut(0.3, seed: 7)
    #expect(
      rest.classCounts == Array(repeating: 2, count: 10)
        && heldOut.classCounts == Array(repeating: 1, count: 10))
    #expect(Set(rest.indices).isDisjoint(with: heldOut.indices) && rest.indices == rest.indices.sorted())
    #expect(try all.holdingOut(0.3, seed: 7).heldOut.indices == heldOut.indices)
    #expect(try all.holdingOut(0.3, seed: 8).heldOut.indices != heldOut.indices)
    #expect(heldOut.name(0) == all.name(heldOut.indices[0]) && heldOut.label(3) == 3)
    // Something of each class is held out, something stays.
    #expect(try all.holdingOut(0.01, seed: 7).heldOut.count == 10)
    #expect(try all.holdingOut(0.99, seed: 7).rest.count == 10)
    for share in [0, 1, -0.5, .nan] {
      #expect(throws: DatasetError.self) { try all.holdingOut(share, seed: 7) }
    }
    let single = SubsetDataset(all, indices: [0])
    #expect(throws: DatasetError.self) { try single.holdingOut(0.5, seed: 7) }
    let (train, validation) = try DatasetSource(Self.photos).trainingSets(validationShare: 0.3, seed: 7)
    #expect(train.count == 20 && validation?.count == 10)
  }

  @Test func cache() throws {
    try photo("cat/0100.jpg", to: "data/cat/a.jpg")
    try photo("ship/0100.jpg", to: "data/ship/a.jpg")
    let path = folder.path.appending("data")
    // Room for one of the two.
    let cached = CachedDataset(try DatasetSource(path).dataset(.all), limit: 4000)
    let first = try (0..<2).map { try cached.image($0) }
    try FileManager.default.removeItem(atPath: path.appending("cat/a.jpg").string)
    try FileManager.default.removeItem(atPath: path.appending("ship/a.jpg").string)
    #expect(try cached.image(0) == first[0])
    #expect(throws: ImageError.notFound) { try cached.image(1) }
  }

  @Test func badImages() async throws {
    try photo("cat/0100.jpg", to: "cat/a.jpg")
    try folder.write("no image", to: "cat/b.jpg")
    try folder.write([0xFF, 0xD8, 0xFF], to: "cat/c.jpg")
    try photo("ship/0100.jpg", to: "ship/a.jpg")
    let dataset = try DatasetSource(folder.path).dataset(.all)
    let names = Names()
    let bad = BadImages(limit: 2) { name, reason in names.append("\(name): \(reason)") }
    let tolerant = TolerantDataset(dataset, bad)
    await withTaskGroup { group in
      for _ in 0..<8 {
        group.addTask {
          #expect((try? (0..<4).map { try tolerant.sampleOrNext($0).index }) == [0, 3, 3, 3])
        }
      }
    }
    #expect(try tolerant.sampleOrNext(1).label == 1)
    #expect(try (0..<4).map { try tolerant.sample($0)?.index } == [0, nil, nil, 3])
    #expect(bad.count == 2 && names.all.count == 2)
    #expect(
      names.all.sorted().first?.hasSuffix("cat/b.jpg: not a JPEG or PNG image, but text; convert it first")
        == true)
    let strict = BadImages(limit: 1) { _, _ in }
    // Two data sets share the limit.
    #expect(try TolerantDataset(dataset, strict).sample(1) == nil)
    let error = #expect(throws: DatasetError.self) { try TolerantDataset(dataset, strict).sampleOrNext(2) }
    #expect("\(String(describing: error))".contains("more than 1 images cannot be read"))
    #expect("\(String(describing: error))".contains("cat/b.jpg"))
  }

  private final class Names: @unchecked Sendable {
    private let lock = NSLock()
    private var names: [String] = []
    func append(_ name: String) { lock.withLock { names.append(name) } }
    var all: [String] { lock.withLock { names } }
  }
}
