// swift-tools-version: 6.2

import PackageDescription

let package = Package(
  name: "Embedding",
  dependencies: [
    // Without its default traits: nothing here draws with Cairo.
    .package(name: "vitrine", path: "../..", traits: []),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
  ],
  targets: [
    .executableTarget(
      name: "Embedding",
      dependencies: ["Checkpoints", "Images", "VisionTransformer"].map {
        .product(name: $0, package: "vitrine")
      } + [.product(name: "SystemPackage", package: "swift-system")])
  ]
)
