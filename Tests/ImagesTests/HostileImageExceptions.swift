/// Where Vitrine and Pillow differ on hostile files, and why. docs/hostile-files.md says the same in words.
enum HostileImageExceptions {
  /// Pillow shows these; Vitrine refuses them.
  static let refused: [(reason: String, names: [String])] = [
    (
      "a chunk that the standard forbids to skip, of a kind that nobody knows",
      [
        "chunk-CgBI-0.png", "chunk-IDOT-0.png", "chunk-JHDR-0.png", "chunk-MHDR-0.png", "chunk-QUIZ-0.png",
        "chunk-Quiz-0.png", "twice-CgBI.png", "twice-IDOT.png", "twice-JHDR.png", "twice-MHDR.png",
        "twice-QUIZ.png", "twice-Quiz.png",
      ]
    ),
    (
      "a palette that is missing, late, doubled or of broken colours: Pillow shows colours that nobody chose",
      [
        "doubled-palette-interlaced-1-PLTE.png", "dropped-palette-interlaced-1-PLTE.png",
        "palette-behind.png", "palette-bytes-0.png", "palette-bytes-1.png", "palette-bytes-2.png",
        "palette-bytes-4.png", "palette-bytes-47.png", "palette-bytes-49.png", "palette-missing.png",
        "palette-twice.png", "swapped-palette-interlaced-1-PLTE.png",
      ]
    ),
    (
      "a header that is doubled, too long, or of a compression or interlacing that does not exist",
      [
        "doubled-palette-interlaced-0-IHDR.png", "doubled-rgb-0-IHDR.png", "header-bytes-100.png",
        "header-bytes-14.png", "header-bytes-20.png", "header-compression-1.png",
        "header-compression-255.png", "header-twice.png", "sealed-palette-interlaced-0-IHDR-10.png",
        "sealed-palette-interlaced-0-IHDR-12.png", "sealed-rgb-0-IHDR-10.png",
      ]
    ),
    (
      "pixel data that ends before the picture does: Pillow shows the rest black",
      ["claims-higher.png", "rows-one-missing.png", "sealed-rgb-0-IHDR-6.png"]
    ),
    (
      "pixel data that claims to be longer than a chunk may be",
      [
        "length-palette-interlaced-4-IDAT-2147483648.png", "length-palette-interlaced-4-IDAT-4294967295.png",
        "length-rgb-4-IDAT-2147483648.png", "length-rgb-4-IDAT-4294967295.png",
      ]
    ),
  ]

  /// Pillow refuses these for what does not make the picture, and Vitrine does not look at.
  static let read: [(reason: String, names: [String])] = [
    (
      "damage in what says how colours are meant, in text, or in an application's segment",
      [
        "ahead-tem.jpg", "bomb-iCCP.png", "bomb-iTXt.png", "bomb-zTXt.png", "checksum-rgb-1-gAMA.png",
        "checksum-rgb-2-tEXt.png", "chunk-cHRM-2.png", "chunk-gAMA-5.png", "chunk-gAMA-6.png",
        "chunk-iCCP-2.png", "chunk-iCCP-3.png", "chunk-pHYs-1.png", "chunk-sRGB-3.png", "chunk-zTXt-1.png",
        "flipped-rgb-1-gAMA-41.png", "flipped-rgb-1-gAMA-43.png", "flipped-rgb-1-gAMA-45.png",
        "flipped-rgb-1-gAMA-47.png", "flipped-rgb-2-tEXt-59.png", "flipped-rgb-2-tEXt-62.png",
        "flipped-rgb-2-tEXt-65.png", "flipped-rgb-2-tEXt-68.png", "flipped-rgb-2-tEXt-71.png",
        "jfif-short.jpg", "twice-cHRM.png", "twice-gAMA.png", "twice-pHYs.png", "twice-sRGB.png",
      ]
    ),
    (
      "damage in the transparency, which is dropped",
      [
        "checksum-palette-interlaced-2-tRNS.png", "flipped-palette-interlaced-2-tRNS-101.png",
        "flipped-palette-interlaced-2-tRNS-103.png", "flipped-palette-interlaced-2-tRNS-105.png",
      ]
        + [1, 2, 4, 8, 16].flatMap { ["type-0-\($0)-tRNS-empty.png", "type-0-\($0)-tRNS-one.png"] }
        + [8, 16].flatMap { depth in ["empty", "one", "two"].map { "type-2-\(depth)-tRNS-\($0).png" } }
    ),
    (
      "damage in an animation behind its first picture, or in what controls it",
      [
        "animated-outside.png", "animated-short-control.png", "animated-small-frame.png",
        "animated-wrong-order.png", "behind-fdAT.png", "chunk-acTL-2.png", "chunk-acTL-3.png",
        "chunk-fdAT-0.png", "chunk-fdAT-1.png", "twice-acTL.png", "twice-fdAT.png",
      ]
    ),
    (
      "damage behind the last row",
      ["doubled-baseline-8-da.jpg", "inserted-ffff.jpg", "inserted-res.jpg", "inserted-soi.jpg"]
    ),
  ]

  /// Progressive files without their last scans. libjpeg guesses what they would have said, and each version guesses otherwise.
  static func isGuessed(_ name: String) -> Bool {
    name == "scans-left-out.jpg" || name.hasPrefix("ended-progressive-")
      || name.hasPrefix("dropped-progressive-") && name.hasSuffix("-da.jpg")
  }
}
