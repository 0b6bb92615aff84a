"""One function in three kinds with its derivatives; the scalar values are those of the least-squares ones."""

import numpy as np

START = np.array([1.0, 2.0])
MATRIX = np.array([[2.0, 1.0], [0.0, 1.0], [1.0, -1.0]])

VALUES = {
    "scalar": lambda x: (MATRIX @ x) @ (MATRIX @ x),
    "least_squares": lambda x: MATRIX @ x,
    "likelihood": lambda x: (MATRIX @ x) ** 2,
}
DERIVATIVES = {
    "scalar": lambda x: 2 * MATRIX.T @ (MATRIX @ x),
    "least_squares": lambda x: MATRIX.copy(),
    "likelihood": lambda x: 2 * (MATRIX @ x)[:, None] * MATRIX,
}
FUN_AND_JACS = {kind: lambda x, kind=kind: (VALUES[kind](x), DERIVATIVES[kind](x)) for kind in VALUES}
#: By the role of the argument of minimize, and the kind.
FUNCTIONS = {"fun": VALUES, "jac": DERIVATIVES, "fun_and_jac": FUN_AND_JACS}
