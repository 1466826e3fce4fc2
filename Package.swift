// swift-tools-version: 6.2

import PackageDescription

let package = Package(
  name: "vitrine",
  products: [
    .executable(name: "vitrine", targets: ["vitrine"]),
    .library(name: "Kernels", targets: ["Kernels"]),
    .library(name: "Images", targets: ["Images"]),
    .library(name: "Checkpoints", targets: ["Checkpoints"]),
    .library(name: "VisionTransformer", targets: ["VisionTransformer"]),
    .library(name: "Pipeline", targets: ["Pipeline"]),
    .library(name: "Training", targets: ["Training"]),
    .library(name: "Quantization", targets: ["Quantization"]),
    .library(name: "Figures", targets: ["Figures"]),
  ],
  traits: [
    .trait(
      name: "Cairo",
      description:
        "Text and lines in pictures, by the system's Cairo; without it charts, grids and labels are refused."),
    .default(enabledTraits: ["Cairo"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
  ],
  targets: [
    // C: inner loops, and libraries that speak C.
    .target(name: "CKernels"),
    .target(name: "CCodecs", dependencies: ["CJPEG", "CPNG", "CZlib"]),
    .systemLibrary(
      name: "CCairo", pkgConfig: "cairo", providers: [.apt(["libcairo2-dev"]), .brew(["cairo"])]),
    .systemLibrary(
      name: "CJPEG", pkgConfig: "libjpeg", providers: [.apt(["libjpeg-dev"]), .brew(["jpeg-turbo"])]),
    .systemLibrary(
      name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
    .systemLibrary(
      name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),

    // Swift: from the kernels up to the command line.
    .target(name: "Kernels", dependencies: ["CKernels"]),
    .target(
      name: "Images",
      dependencies: ["CCodecs", .product(name: "SystemPackage", package: "swift-system")]),
    .target(
      name: "Checkpoints",
      dependencies: ["CZlib", .product(name: "SystemPackage", package: "swift-system")]),
    .target(
      name: "VisionTransformer",
      dependencies: [
        "Checkpoints", "Images", "Kernels",
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      resources: [
        .embedInCode("Resources/imagenet1k-labels.txt"), .embedInCode("Resources/timm-architectures.json"),
      ]),
    .target(
      name: "Pipeline",
      dependencies: [
        "Checkpoints", "Images", "Kernels", "VisionTransformer",
        .product(name: "HeapModule", package: "swift-collections"),
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .target(
      name: "Training",
      dependencies: [
        "Checkpoints", "Images", "Kernels", "Pipeline", "VisionTransformer",
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .target(
      name: "Quantization",
      dependencies: [
        "Checkpoints", "Images", "Kernels", "Pipeline", "VisionTransformer",
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .target(
      name: "Figures",
      dependencies: [
        .target(name: "CCairo", condition: .when(traits: ["Cairo"])), "CZlib", "Checkpoints", "Images",
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      resources: [.embedInCode("Resources/color-maps.txt"), .embedInCode("Resources/explorer.html")]),
    .executableTarget(
      name: "vitrine",
      dependencies: [
        "Checkpoints", "Figures", "Images", "Kernels", "Pipeline", "Quantization", "Training",
        "VisionTransformer",
        .product(name: "SystemPackage", package: "swift-system"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ]),

    // One test target per source target; Tests/Fixtures holds what scripts/reference made.
    .target(
      name: "TestSupport",
      dependencies: ["Checkpoints", .product(name: "SystemPackage", package: "swift-system")],
      path: "Tests/TestSupport"),
    // What scripts/fuzz does with each input, which the tests do with those that were kept.
    .target(
      name: "FuzzTrials",
      dependencies: [
        "Checkpoints", "Images", "TestSupport", "Training", "VisionTransformer",
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      path: "Tests/FuzzTrials"),
    .testTarget(name: "FuzzTests", dependencies: ["FuzzTrials", "TestSupport"]),
    .testTarget(name: "KernelsTests", dependencies: ["Kernels", "CKernels"]),
    .testTarget(name: "ImagesTests", dependencies: ["Checkpoints", "Images", "CCodecs", "TestSupport"]),
    .testTarget(name: "CheckpointsTests", dependencies: ["Checkpoints", "TestSupport"]),
    .testTarget(name: "VisionTransformerTests", dependencies: ["VisionTransformer", "TestSupport"]),
    .testTarget(name: "PipelineTests", dependencies: ["Pipeline", "TestSupport"]),
    .testTarget(
      name: "TrainingTests",
      dependencies: ["Checkpoints", "Images", "Kernels", "Training", "VisionTransformer", "TestSupport"]),
    .testTarget(
      name: "QuantizationTests",
      dependencies: [
        "Checkpoints", "Kernels", "Pipeline", "Quantization", "VisionTransformer", "TestSupport",
      ]),
    .testTarget(name: "FiguresTests", dependencies: ["Checkpoints", "Figures", "Images", "TestSupport"]),
    .testTarget(
      name: "vitrineTests",
      dependencies: [
        "vitrine", "Figures", "Images", "Kernels", "Pipeline", "VisionTransformer", "TestSupport",
      ]),
  ]
)

// scripts/kernel-bench sets this: it times the kernels against OpenBLAS, which nothing else needs.
if Context.environment["VITRINE_KERNEL_BENCH"] != nil {
  package.targets += [
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas",
      providers: [.apt(["libopenblas-dev"]), .brew(["openblas"])]),
    .executableTarget(
      name: "kernel-bench",
      dependencies: [
        "COpenBLAS", "Kernels", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
  ]
}

// scripts/fuzz sets this, and builds with the fuzzer's instrumentation into a folder of its own.
if Context.environment["VITRINE_FUZZ"] != nil {
  package.targets += [
    .target(name: "CLibFuzzer", path: "Fuzz/CLibFuzzer"),
    .executableTarget(
      name: "vitrine-fuzz",
      dependencies: [
        "CLibFuzzer", "CZlib", "Checkpoints", "FuzzTrials",
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      path: "Fuzz/vitrine-fuzz"),
  ]
}

// Continuous integration sets this: a warning in our own code is an error there, and only there.
if Context.environment["VITRINE_WARNINGS_AS_ERRORS"] != nil {
  for target in package.targets where target.type != .system {
    target.swiftSettings = (target.swiftSettings ?? []) + [.treatAllWarnings(as: .error)]
    target.cSettings = (target.cSettings ?? []) + [.treatAllWarnings(as: .error)]
  }
}
