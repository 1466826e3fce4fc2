import Checkpoints
import Foundation
import Images
import SystemPackage
import VisionTransformer

// Embedding MODEL PHOTO...: how similar each photo is to the first.
let paths = CommandLine.arguments.dropFirst().map { FilePath($0) }
guard let checkpoint = paths.first, paths.count > 1 else {
  print("usage: Embedding MODEL PHOTO...")
  exit(64)
}

let model = try VisionTransformer(Checkpoint(checkpoint))
let session = InferenceSession(model)
let embeddings = try paths.dropFirst().map { photo in
  let image = try model.transform.prepare(Image(contentsOf: photo))
  return session.run(.images([image])) { output in Array((output.embeddings ?? output.features).row(0)) }
}

func product(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

for (photo, embedding) in zip(paths.dropFirst(), embeddings) {
  let lengths = (product(embedding, embedding) * product(embeddings[0], embeddings[0])).squareRoot()
  print(photo, product(embedding, embeddings[0]) / lengths)
}
