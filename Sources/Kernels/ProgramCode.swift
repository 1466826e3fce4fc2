import CKernels

/// The pages of the program's and its libraries' code that are in memory.
public enum ProgramCode {
  /// Takes them out of the process: after a part of the program that ran through much code, before one that needs memory. What is needed again
  /// comes back from the system's cache of files, 64 KiB at a time. A matter for programs, not for libraries.
  public static func letGo() {
    ckernels_let_go_of_code()
  }
}
