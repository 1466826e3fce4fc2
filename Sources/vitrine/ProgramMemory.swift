import Kernels

/// What the process holds and does not need at the moment.
enum ProgramMemory {
  /// Gives back what the part of the program that ends here needed, its code and its room in the heap, before the next needs its own, so that
  /// the peak of a short run is not the sum of its parts. What is needed again comes back by itself; a process that does so seven times takes some 5 ms more.
  static func trim() {
    ProgramCode.letGo()
    Heap.trim()
  }
}
