"""How far the results of two devices may lie apart."""

from __future__ import annotations

#: (relative, absolute) error that two devices may differ by, by the dtype of an output: about
#: a hundred roundings of it where it is wide, and a few where it is narrow. A complex number
#: is as its parts. What is not here is exact: integers, bools, strings.
TOLERANCES = {
    "float64": (1e-12, 1e-13), "float32": (1e-5, 1e-6), "float16": (1e-2, 1e-2),
    "bfloat16": (1e-2, 1e-2),
    **dict.fromkeys(("float8_e4m3fn", "float8_e4m3b11fnuz", "float8_e4m3fnuz"), (0.125, 0.0625)),
    **dict.fromkeys(("float8_e5m2", "float8_e5m2fnuz"), (0.25, 0.125)),
    "complex128": (1e-12, 1e-13), "complex64": (1e-5, 1e-6),
}  # fmt: skip
