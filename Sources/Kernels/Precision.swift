/// What the matrix products of a network are computed in.
public enum Precision: String, Sendable, CaseIterable { case fp32, bf16, int8 }
