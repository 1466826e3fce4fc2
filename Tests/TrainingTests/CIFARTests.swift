import Checkpoints
import Foundation
import Images
import SystemPackage
import TestSupport
import Testing
import Training

/// CIFAR-10 and CIFAR-100 as published, in archives and unpacked.
@Suite struct CIFARTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  /// The pixels that `dataset_fixtures.py` gives to each image.
  private func image(_ index: Int) -> Image {
    let pixels = (0..<3072).map { place in
      let (pixel, channel) = place.quotientAndRemainder(dividingBy: 3)
      return UInt8(truncatingIfNeeded: 7 * index + 50 * channel + 3 * (pixel / 32) + pixel % 32)
    }
    return Image(width: 32, height: 32, pixels: pixels)
  }

  private func check(_ path: FilePath, train: Int, test: Int, classes: Int, label: (Int) -> Int) throws {
    let source = try DatasetSource(path)
    #expect(source.splits == [.train, .test] && source.description.hasPrefix("CIFAR-\(classes)"))
    for (split, count) in [(DatasetSplit.train, train), (.test, test)] {
      let dataset = try source.dataset(split)
      #expect(dataset.count == count && dataset.classNames.count == classes)
      for index in 0..<dataset.count {
        #expect(dataset.label(index) == label(index))
        #expect(try dataset.image(index) == image(index))
      }
    }
    let (both, validation) = try source.trainingSets(seed: 1)
    #expect(both.count == train && validation?.count == test)
  }

  /// Unpacks an archive of the fixtures.
  private func unpacked(_ name: String) throws -> FilePath {
    let archive = try TarArchive(DatasetTests.archives.appending(name))
    for (member, bytes) in zip(archive.members, try archive.contents(of: archive.members)) {
      try folder.write(bytes.withUnsafeBytes { Array($0) }, to: member.name)
    }
    return folder.path
  }

  @Test(arguments: ["cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"], [false, true])
  func ten(_ name: String, unpacks: Bool) throws {
    let path = unpacks ? try unpacked(name) : DatasetTests.archives.appending(name)
    try check(path, train: 12, test: 4, classes: 10) { (3 * $0 + 1) % 10 }
    let train = try DatasetSource(path).dataset(.train)
    #expect(train.classNames.first == "airplane" && train.classNames.last == "truck")
    #expect(train.name(4).contains("data_batch_2") && train.name(4).hasSuffix("[1]"))
  }

  @Test(
    arguments: [
      "cifar-100-binary.tar.gz", "cifar-100-python-2.tar.gz", "cifar-100-python-4.tar.gz",
      "cifar-100-python-5.tar.gz",
    ], [false, true])
  func hundred(_ name: String, unpacks: Bool) throws {
    let path = unpacks ? try unpacked(name) : DatasetTests.archives.appending(name)
    try check(path, train: 7, test: 3, classes: 100) { (31 * $0 + 2) % 100 }
    #expect(try DatasetSource(path).dataset(.test).classNames[42] == "fine 42")
  }

  @Test func damagedBinary() throws {
    let root = try unpacked("cifar-10-binary.tar.gz").appending("cifar-10-batches-bin")
    let test = root.appending("test_batch.bin")
    let good = [UInt8](try Data(contentsOf: URL(fileURLWithPath: test.string)))
    func failure(_ split: DatasetSplit = .test) throws -> String {
      "\(try #require(throws: (any Error).self) { try DatasetSource(folder.path).dataset(split) })"
    }
    var outOfRange = good
    outOfRange[2 * 3073] = 10
    try folder.write(outOfRange, to: "cifar-10-batches-bin/test_batch.bin")
    #expect(try failure() == "\(test): image 2: label 10 is out of range: there are 10 classes, 0 to 9")
    try folder.write(good.dropLast(), to: "cifar-10-batches-bin/test_batch.bin")
    #expect(try failure().contains("12291 bytes are not whole images of 3073 bytes"))
    try folder.write(good, to: "cifar-10-batches-bin/test_batch.bin")
    try FileManager.default.removeItem(atPath: root.appending("data_batch_3.bin").string)
    #expect(
      try failure(.train).contains("data_batch_3.bin: this file of CIFAR-10, binary version is missing"))
    try folder.write("one\ntwo\n", to: "cifar-10-batches-bin/batches.meta.txt")
    #expect(try failure().contains("2 names of classes, expected 10"))
    try FileManager.default.removeItem(atPath: root.appending("batches.meta.txt").string)
    #expect(try failure().contains("batches.meta.txt: the file with the classes' names is missing"))
  }

  @Test func damagedPython() throws {
    _ = try unpacked("cifar-10-python.tar.gz")
    func failure(_ bytes: [UInt8]) throws -> String {
      try folder.write(bytes, to: "cifar-10-batches-py/test_batch")
      return "\(try #require(throws: (any Error).self) { try DatasetSource(folder.path).dataset(.test) })"
    }
    #expect(try failure(Array("}.".utf8)).contains("expected an array \"data\" and a list \"labels\""))
    #expect(try failure(Array("cos\nsystem\n(S'true'\ntR.".utf8)).contains("os.system"))
    // An array of other numbers than there are labels.
    let array =
      "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\nI3072\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntRI00\nS'xyz'\ntb"
    #expect(
      try failure(Array("(dS'data'\n\(array)sS'labels'\n(lI3\nas.".utf8)).contains(
        "the pixels are u1 [1, 3072] in 3 bytes, expected u1 [1, 3072]"))
  }
}
