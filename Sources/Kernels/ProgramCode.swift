import CKernels

/// The pages of the program's and its libraries' code.
public enum ProgramCode {
  /// Takes those that are in memory out of the process, and so out of the memory that is counted for it; they stay in the system's cache of files,
  /// whence each is taken again when it is needed, some µs for 64 KiB. After a part of the program that ran through much code. A matter for
  /// programs, not for libraries.
  public static func letGo() {
    ckernels_let_go_of_code()
  }
}
