import Images

/// One step of what happens to each training image. In a configuration, an object with one key: the step's name; its value has the step's
/// settings, all of which may be left out, such as `{"horizontal_flip": {"probability": 0.5}}`.
public enum AugmentationStep: Sendable, Equatable {
  case resize(Resize)
  case randomCrop(RandomCrop)
  case randomResizedCrop(RandomResizedCrop)
  case horizontalFlip(HorizontalFlip)
  case verticalFlip(VerticalFlip)
  case rotation(Rotation)
  case colorJitter(ColorJitter)
  case autoAugment(AutoAugment)
  case randAugment(RandAugment)
  case trivialAugment(TrivialAugment)
  /// From here on pixels are numbers that are no longer rounded to bytes.
  case toTensor(ToTensor)
  /// Of normalised pixels, behind everything else.
  case randomErasing(RandomErasing)

  /// The names in configurations.
  enum Name: String, CaseIterable, CodingKey {
    case resize
    case randomCrop = "random_crop"
    case randomResizedCrop = "random_resized_crop"
    case horizontalFlip = "horizontal_flip"
    case verticalFlip = "vertical_flip"
    case rotation
    case colorJitter = "color_jitter"
    case autoAugment = "auto_augment"
    case randAugment = "rand_augment"
    case trivialAugment = "trivial_augment"
    case toTensor = "to_tensor"
    case randomErasing = "random_erasing"
  }

  var name: Name {
    switch self {
    case .resize: .resize
    case .randomCrop: .randomCrop
    case .randomResizedCrop: .randomResizedCrop
    case .horizontalFlip: .horizontalFlip
    case .verticalFlip: .verticalFlip
    case .rotation: .rotation
    case .colorJitter: .colorJitter
    case .autoAugment: .autoAugment
    case .randAugment: .randAugment
    case .trivialAugment: .trivialAugment
    case .toTensor: .toTensor
    case .randomErasing: .randomErasing
    }
  }

  /// The step as something that changes pictures; nil for what happens behind them.
  var pictureStep: (any PictureStep)? {
    switch self {
    case .resize(let step): step
    case .randomCrop(let step): step
    case .randomResizedCrop(let step): step
    case .horizontalFlip(let step): step
    case .verticalFlip(let step): step
    case .rotation(let step): step
    case .colorJitter(let step): step
    case .autoAugment(let step): step
    case .randAugment(let step): step
    case .trivialAugment(let step): step
    case .toTensor(let step): step
    case .randomErasing: nil
    }
  }
}

extension AugmentationStep: Codable {
  public init(from decoder: any Decoder) throws {
    let keys = (try? decoder.container(keyedBy: AnyKey.self).allKeys.map(\.stringValue)) ?? []
    guard keys.count == 1, let name = Name(rawValue: keys[0]) else {
      throw AugmentationError(
        "a step", keys.isEmpty ? nil : keys.sorted().joined(separator: ", "),
        "an object with one of the keys \(Name.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    let container = try decoder.container(keyedBy: Name.self)
    func step<Step: Decodable>(_ type: Step.Type) throws -> Step { try container.decode(type, forKey: name) }
    self =
      switch name {
      case .resize: .resize(try step(Resize.self))
      case .randomCrop: .randomCrop(try step(RandomCrop.self))
      case .randomResizedCrop: .randomResizedCrop(try step(RandomResizedCrop.self))
      case .horizontalFlip: .horizontalFlip(try step(HorizontalFlip.self))
      case .verticalFlip: .verticalFlip(try step(VerticalFlip.self))
      case .rotation: .rotation(try step(Rotation.self))
      case .colorJitter: .colorJitter(try step(ColorJitter.self))
      case .autoAugment: .autoAugment(try step(AutoAugment.self))
      case .randAugment: .randAugment(try step(RandAugment.self))
      case .trivialAugment: .trivialAugment(try step(TrivialAugment.self))
      case .toTensor: .toTensor(try step(ToTensor.self))
      case .randomErasing: .randomErasing(try step(RandomErasing.self))
      }
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Name.self)
    if case .randomErasing(let step) = self {
      try container.encode(step, forKey: name)
    } else if let step = pictureStep {
      try container.encode(step, forKey: name)
    }
  }
}

/// A picture on its way through the steps.
enum Picture {
  case bytes(Image)
  case floats(FloatImage)

  var size: ImageSize {
    switch self {
    case .bytes(let image): image.size
    case .floats(let image): image.size
    }
  }
}

/// A step that turns pictures into pictures.
protocol PictureStep: Codable, Sendable, Equatable {
  /// Why the step cannot be done on numbers that are no bytes, as an end of "must be ..."; nil where it can.
  var objectionToFloats: String? { get }
  /// - Parameters:
  ///   - target: the size of the network's input.
  ///   - random: of this sample and step.
  func apply(_ picture: Picture, target: ImageSize, random: inout CounterRandom) throws -> Picture
}

/// A step that works on bytes alone.
protocol ByteStep: PictureStep {
  func apply(_ image: Image, target: ImageSize, random: inout CounterRandom) throws -> Image
}

extension ByteStep {
  var objectionToFloats: String? { "in front of to_tensor: it works on bytes" }

  func apply(_ picture: Picture, target: ImageSize, random: inout CounterRandom) throws -> Picture {
    guard case .bytes(let image) = picture else { return picture }
    return .bytes(try apply(image, target: target, random: &random))
  }
}

/// torchvision's `ToTensor`.
public struct ToTensor: PictureStep {
  public init() {}

  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: AnyKey.self).allKeys
    guard keys.isEmpty else { throw AugmentationError("to_tensor", keys[0].stringValue, "without keys") }
  }

  public func encode(to encoder: any Encoder) throws {
    _ = encoder.container(keyedBy: AnyKey.self)
  }

  var objectionToFloats: String? { "there only once" }

  func apply(_ picture: Picture, target: ImageSize, random: inout CounterRandom) -> Picture {
    guard case .bytes(let image) = picture else { return picture }
    return .floats(FloatImage(image))
  }
}
