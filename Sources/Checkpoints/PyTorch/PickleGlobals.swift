/// What a pickle may ask for by name. The table is closed: a global is only ever a name, and one that is not listed here is
/// refused as soon as the pickle wants to call it or make an instance of it.
enum PickleGlobals {
  /// What becomes of a call.
  enum Role {
    /// Describes a tensor; see `PyTorchTensor`.
    case tensor
    /// Makes a dictionary.
    case dictionary
    /// Makes a value that says nothing about tensors: it is kept, but not looked into.
    case plain
    /// A module of a TorchScript archive: its state is a dictionary of attributes.
    case module
    /// Makes an instance of the class that is its first argument (protocols 0 and 1).
    case reconstructor
  }

  /// - Parameter name: the module and the name within it, joined by a dot.
  static func role(of name: String) -> Role? {
    name.hasPrefix("__torch__.") ? .module : roles[name]
  }

  /// Factories that a `defaultdict` may name; they are not called.
  static let factories: Set<String> = Set(
    ["list", "dict", "set", "tuple", "int", "float", "str", "bool"].flatMap {
      ["builtins.\($0)", "__builtin__.\($0)"]
    })

  private static let roles: [String: Role] = {
    var roles: [String: Role] = [:]
    for name in [
      "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
      "_rebuild_parameter_with_state", "_rebuild_sparse_tensor", "_rebuild_sparse_csr_tensor",
      "_rebuild_nested_tensor", "_rebuild_qtensor", "_rebuild_meta_tensor_no_storage",
    ] {
      roles["torch._utils.\(name)"] = .tensor
    }
    for name in ["torch._tensor._rebuild_from_type_v2", "torch.nn.parameter.Parameter"] {
      roles[name] = .tensor
    }
    for name in ["OrderedDict", "defaultdict", "Counter"] { roles["collections.\(name)"] = .dictionary }
    for module in ["builtins", "__builtin__"] {
      roles["\(module).dict"] = .dictionary
      for name in [
        "set", "frozenset", "list", "tuple", "int", "long", "float", "complex", "bool", "str", "slice",
        "range",
        "bytearray", "bytes",
      ] {
        roles["\(module).\(name)"] = .plain
      }
    }
    for module in ["numpy.core", "numpy._core"] {
      roles["\(module).multiarray.scalar"] = .plain
      roles["\(module).multiarray._reconstruct"] = .plain
      roles["\(module).numeric._frombuffer"] = .plain
    }
    for module in ["pathlib", "pathlib._local"] {
      for name in ["PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath", "Path", "PurePath"] {
        roles["\(module).\(name)"] = .plain
      }
    }
    for name in [
      "torch.Size", "torch.device", "torch.serialization._get_layout", "numpy.dtype", "_codecs.encode",
      "argparse.Namespace", "types.SimpleNamespace", "torch.jit._pickle.build_intlist",
      "torch.jit._pickle.build_doublelist", "torch.jit._pickle.build_boollist",
      "torch.jit._pickle.build_tensorlist", "torch.jit._pickle.restore_type_tag",
    ] {
      roles[name] = .plain
    }
    for module in ["copyreg", "copy_reg"] { roles["\(module)._reconstructor"] = .reconstructor }
    return roles
  }()
}
