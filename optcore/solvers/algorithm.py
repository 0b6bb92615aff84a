"""What an algorithm is, and the register of all of them.

An algorithm is a frozen dataclass: its options are fields, what it is stands on the class, and it has one method,
`solve(objective, x0, bounds)`. Bring your own: subclass and register it, name it in the entry-point group
`optcore.algorithms`, or pass a plain callable to `minimize` (see `CallableAlgorithm`).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError, MissingLibraryError, unknown_name
from optcore.marks import Kind
from optcore.objective import Objective

__all__ = [
    "Algorithm",
    "Algorithms",
    "CallableAlgorithm",
    "SolverResult",
    "algorithm_names",
    "get_algorithm",
    "make_algorithm",
    "register_algorithm",
    "register_family",
]

ENTRY_POINTS = "optcore.algorithms"


@dataclass(frozen=True, eq=False)
class SolverResult:
    """What a solver returns.

    Attributes:
        x: the point it ends at, shape (n,).
        success: whether it claims convergence; None if it makes no claim.
        message: its own words.
        n_iterations: as it counts them, or None.
        claims: what else it says of itself (values and counts of its own), kept beside what was counted.
    """

    x: NDArray[np.float64]
    success: bool | None = None
    message: str = ""
    n_iterations: int | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Algorithm:
    """Base of all algorithms.

    Class attributes:
        name: what users call it.
        kind: "scalar", or "least_squares" for solvers that work on residuals.
        needs_jac: whether it uses a derivative.
        supports_bounds, is_global, is_deterministic: what it can do.
        asks_jointly: whether it wants value and derivative at (nearly) every point, so that one batch gives both.
        copies_x: whether it hands a copy of x to each function that it calls, so that no other copy is needed.
        never_returns: whether it never asks for the same thing twice at one point, so that nothing need be remembered.
        library: import name of the library it comes from.
        extra: the extra of optcore that installs the library; None if it always is there.
        built_on: import names of further libraries, whose versions decide what it does, too.
        tight: the strictest tolerances that work, for benchmarks in which only the budget should end a run.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind] = Kind.SCALAR
    needs_jac: ClassVar[bool] = False
    supports_bounds: ClassVar[bool] = False
    is_global: ClassVar[bool] = False
    is_deterministic: ClassVar[bool] = True
    asks_jointly: ClassVar[bool] = False
    copies_x: ClassVar[bool] = False
    never_returns: ClassVar[bool] = False
    library: ClassVar[str] = "scipy"
    extra: ClassVar[str | None] = None
    built_on: ClassVar[tuple[str, ...]] = ()
    tight: ClassVar[Mapping[str, float]] = {}

    def solve(self, objective: Objective, x0: NDArray[np.float64], bounds: FlatBounds) -> SolverResult:
        """Minimize the objective from x0, shape (n,)."""
        raise NotImplementedError(f"{type(self).__name__} must define solve(objective, x0, bounds)")

    @property
    def takes_sparse(self) -> bool:
        """Whether a least-squares solver can work with a jacobian that is a scipy.sparse.csr_array."""
        return False

    @classmethod
    def available(cls) -> bool:
        """Whether its library is installed."""
        return cls.library in sys.modules or importlib.util.find_spec(cls.library) is not None

    @classmethod
    def missing(cls) -> str | None:
        """What has to be installed before it can run, one sentence that names the extra; None if nothing."""
        if cls.available():
            return None
        extra = f"optcore[{cls.extra}]" if cls.extra else cls.library
        return f"{cls.name} needs {cls.library}, which is not installed: pip install '{extra}'"

    @classmethod
    def option_names(cls) -> list[str]:
        """The options it takes."""
        return [option.name for option in fields(cls)]

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Algorithm:
        """An instance with these options; dotted names (`convergence.ftol_rel`) are accepted.

        Raises:
            UnknownNameError: an option that it doesn't have; suggests the nearest.
        """
        if not options:
            return cls()
        known = cls.option_names()
        given = {name.replace(".", "_"): value for name, value in options.items()}
        for name in given:
            if name not in known:
                raise unknown_name(f"option of {cls.name}", name, known)
        return cls(**given)


A = TypeVar("A", bound=type[Algorithm])
_REGISTER: dict[str, type[Algorithm]] = {}


def register_algorithm(cls: A) -> A:
    """Make an algorithm known by its name; a class decorator.

    >>> import numpy as np, optcore as om
    >>> from dataclasses import dataclass
    >>> @om.register_algorithm
    ... @dataclass(frozen=True)
    ... class GradientDescent(om.Algorithm):
    ...     name = "example_gradient_descent"
    ...     needs_jac = True
    ...     rate: float = 0.4
    ...
    ...     def solve(self, objective, x0, bounds):
    ...         for _ in range(50):
    ...             x0 = x0 - self.rate * objective.gradient(x0)
    ...         return om.SolverResult(x0)
    >>> om.minimize(lambda x: (x - 3) @ (x - 3), np.ones(2), "example_gradient_descent").params.round(6)
    array([3., 3.])
    """
    name = getattr(cls, "name", None)
    if not isinstance(name, str):
        raise InvalidInputError(f"{cls.__name__} needs a class attribute `name`, a str, but has {name!r}")
    if not issubclass(cls, Algorithm):
        raise InvalidInputError(f"{cls!r} must be a subclass of om.Algorithm")
    _REGISTER[name] = cls
    return cls


#: Algorithms that are found when they are asked for, as PREFIX:NAME.
_FAMILIES: dict[str, Callable[[str], type[Algorithm]]] = {}


def register_family(prefix: str, find: Callable[[str], type[Algorithm]]) -> None:
    """Make the algorithms of another library known as `prefix:NAME`; `find` gives the class for NAME."""
    _FAMILIES[prefix] = find


def _load_entry_points() -> None:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name not in _REGISTER:
            cls = entry.load()
            _REGISTER[entry.name] = cls


def algorithm_names() -> list[str]:
    """All names, of registered algorithms and of those that installed packages announce."""
    _load_entry_points()
    return sorted(_REGISTER)


def get_algorithm(name: str) -> type[Algorithm]:
    """The algorithm of this name.

    Raises:
        UnknownNameError: suggests the nearest name.
    """
    family, colon, own = name.partition(":")
    if colon and family in _FAMILIES:
        return _FAMILIES[family](own)
    if name not in _REGISTER:
        _load_entry_points()
    if name not in _REGISTER:
        raise unknown_name("algorithm", name, _REGISTER)
    return _REGISTER[name]


def make_algorithm(algorithm: Any, options: Mapping[str, Any] | None) -> Algorithm:
    """An algorithm from a name, a class, an instance or a plain callable, with options.

    Raises:
        UnknownNameError, InvalidInputError, MissingLibraryError: says which name, option or library.
    """
    options = dict(options or {})
    if isinstance(algorithm, Algorithm):
        merged = {name: getattr(algorithm, name) for name in type(algorithm).option_names()}
        made = type(algorithm).from_options({**merged, **{k.replace(".", "_"): v for k, v in options.items()}})
    elif isinstance(algorithm, str):
        made = get_algorithm(algorithm).from_options(options)
    elif isinstance(algorithm, type) and issubclass(algorithm, Algorithm):
        made = algorithm.from_options(options)
    elif callable(algorithm):
        made = CallableAlgorithm(algorithm, options)
    else:
        raise InvalidInputError(
            f"algorithm must be a name such as 'scipy_lbfgsb', one of om.algos, or a function, but got {algorithm!r}"
        )
    if missing := made.missing():
        raise MissingLibraryError(missing)
    return made


class Algorithms:
    """A collection of algorithms: attributes by name, a size, and a filter.

    >>> import optcore as om
    >>> om.algos.scipy_lbfgsb(limited_memory_storage_length=5).limited_memory_storage_length
    5
    >>> [a.name for a in om.algos.filter(least_squares=True, needs_jac=True, library="scipy")]
    ['scipy_ls_dogbox', 'scipy_ls_lm', 'scipy_ls_trf']
    """

    def __init__(self, chosen: tuple[type[Algorithm], ...] | None = None) -> None:
        self._chosen = chosen

    def _all(self) -> dict[str, type[Algorithm]]:
        if self._chosen is not None:
            return {cls.name: cls for cls in self._chosen}
        return {name: _REGISTER[name] for name in algorithm_names()}

    def __getattr__(self, name: str) -> type[Algorithm]:
        if name.startswith("_"):
            raise AttributeError(name)
        known = self._all()
        if name not in known:
            raise AttributeError(str(unknown_name("algorithm", name, known)))
        return known[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._all()]

    def __iter__(self) -> Iterator[type[Algorithm]]:
        return iter(self._all().values())

    def __len__(self) -> int:
        return len(self._all())

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __repr__(self) -> str:
        return f"Algorithms({', '.join(self._all())})"

    @property
    def names(self) -> list[str]:
        """Their names."""
        return list(self._all())

    def filter(
        self,
        *,
        least_squares: bool | None = None,
        needs_jac: bool | None = None,
        supports_bounds: bool | None = None,
        is_global: bool | None = None,
        library: str | None = None,
    ) -> Algorithms:
        """Those that are as asked; None doesn't ask."""
        wanted = {
            "needs_jac": needs_jac,
            "supports_bounds": supports_bounds,
            "is_global": is_global,
            "library": library,
        }
        chosen = tuple(
            cls
            for cls in self
            if (least_squares is None or (cls.kind is Kind.LEAST_SQUARES) == least_squares)
            and all(value is None or getattr(cls, name) == value for name, value in wanted.items())
        )
        return Algorithms(chosen)


#: What a plain callable may ask for by the names of its parameters.
CALLABLE_ARGUMENTS = (
    "fun", "x0", "jac", "fun_and_jac", "residuals", "residuals_jacobian",
    "bounds", "max_evaluations", "max_seconds", "seed", "options",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class CallableAlgorithm(Algorithm):
    """A plain function as a solver. It gets by name what its signature asks for.

    Among `fun, x0, jac, fun_and_jac, residuals, residuals_jacobian, bounds, max_evaluations, max_seconds, seed,
    options`: functions of flat vectors, bounds as a pair of arrays or None, the budget (or None), a seed and the
    options. It returns x, or an object or dict with `x` and what it claims (`fun, nfev, success, message, nit`).

    Args:
        function: the solver.
        options: given to it as `options`, if it asks.
    """

    name: ClassVar[str] = "callable"
    library: ClassVar[str] = "optcore"
    supports_bounds: ClassVar[bool] = True

    function: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        asked = self.asks_for
        if not {"fun", "fun_and_jac", "residuals"} & set(asked):
            raise InvalidInputError(
                f"the solver {self.label!r} asks for ({', '.join(asked)}); "
                "it must ask for fun, fun_and_jac or residuals"
            )
        takes_residuals = "residuals" in asked and "fun" not in asked and "fun_and_jac" not in asked
        takes_derivative = bool({"jac", "fun_and_jac", "residuals_jacobian"} & set(asked))
        object.__setattr__(self, "kind", Kind.LEAST_SQUARES if takes_residuals else Kind.SCALAR)
        object.__setattr__(self, "needs_jac", takes_derivative)
        object.__setattr__(self, "asks_jointly", "fun_and_jac" in asked)
        object.__setattr__(self, "name", self.label)

    @property
    def label(self) -> str:
        """What the function is called."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    @property
    def asks_for(self) -> tuple[str, ...]:
        """The names in its signature, all of which must be known."""
        asked = []
        for name, parameter in inspect.signature(self.function).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if name in CALLABLE_ARGUMENTS:
                asked.append(name)
            elif parameter.default is parameter.empty:
                raise InvalidInputError(
                    f"the solver {getattr(self.function, '__name__', self.function)!r} asks for {name!r}; "
                    f"a solver gets by name any of {', '.join(CALLABLE_ARGUMENTS)}"
                )
        return tuple(asked)

    def solve(self, objective: Objective, x0: NDArray[np.float64], bounds: FlatBounds) -> SolverResult:
        """Call the function with what it asks for and read what it returns."""
        offered: dict[str, Any] = {
            "fun": objective.value,
            "x0": x0.copy(),
            "jac": objective.gradient,
            "fun_and_jac": objective.value_and_gradient,
            "residuals": objective.residuals,
            "residuals_jacobian": objective.jacobian,
            "bounds": (bounds.lower, bounds.upper) if bounds.any else None,
            "max_evaluations": objective.evaluator.max_evaluations,
            "max_seconds": objective.evaluator.max_seconds,
            "seed": self.options.get("seed", 0),
            "options": dict(self.options),
        }
        return _read_answer(self.function(**{name: offered[name] for name in self.asks_for}), objective.n, self.label)


def _read_answer(answer: Any, n: int, label: str) -> SolverResult:
    """x, or an object or dict with x and claims."""
    if isinstance(answer, SolverResult):
        return answer  # checked where all are
    given = answer if isinstance(answer, Mapping) else getattr(answer, "__dict__", {})
    has_x = "x" in given or (hasattr(answer, "x") and not isinstance(answer, np.ndarray))
    x = given.get("x", answer.x if "x" not in given and has_x else answer)
    try:
        flat = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        flat = np.zeros(0)
    if flat.shape != (n,):
        raise InvalidInputError(
            f"the solver {label!r} must return x of shape ({n},), or an object or dict with x, but returned {answer!r}"
        )
    if not has_x:
        return SolverResult(flat)
    names = ("fun", "nfev", "njev", "nit", "success", "message")
    claims = {
        name: given.get(name, getattr(answer, name, None)) for name in names if name in given or hasattr(answer, name)
    }
    success = claims.get("success")
    iterations = claims.get("nit")
    return SolverResult(
        flat,
        success=None if success is None else bool(success),
        message=str(claims.get("message", "")),
        n_iterations=None if iterations is None else int(iterations),
        claims=claims,
    )
