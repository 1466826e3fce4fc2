import CKernels

/// The C library's heap.
public enum Heap {
  /// Makes all threads share one heap, for a process whose threads allocate little and seldom, but much at a time: with a heap each,
  /// every thread keeps the room that its largest image once took, and memory seems to grow with the number of images.
  ///
  /// To be called before the first thread is started; a matter for programs, not for libraries.
  public static func shareAmongThreads() {
    ckernels_use_one_heap()
  }

  /// Gives back to the system what the C library kept of memory that was freed, by any part of the process: between two parts of a program
  /// of which each needs much, and not what the other had.
  public static func trim() {
    ckernels_trim_heap()
  }
}
