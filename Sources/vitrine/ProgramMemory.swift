import Kernels

/// What the process holds and does not need at the moment.
enum ProgramMemory {
  /// Gives back what the part of the program that ends here needed, its code and its room in the heap, before the next needs its own: a
  /// single photo on a small board takes no more memory than it must. What is needed again comes back by itself.
  static func trim() {
    ProgramCode.letGo()
    Heap.trim()
  }
}
