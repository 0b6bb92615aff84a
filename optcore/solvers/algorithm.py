"""What an algorithm is, and the register of all of them.

An algorithm is a frozen dataclass: its options are fields, what it is stands on the class, and it has one method,
`solve(objective, x0, bounds)`. Bring your own: subclass and register it, name it in the entry-point group
`optcore.algorithms`, or pass a plain callable to `minimize` (see callables.py).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError, MissingLibraryError, UnknownNameError, unknown_name
from optcore.marks import Kind
from optcore.objective import Objective
from optcore.solvers.options import OPTIONS, Rule
from optcore.solvers.shipped import FAMILIES, MODULES

__all__ = [
    "Algorithm",
    "SolverResult",
    "algorithm_names",
    "get_algorithm",
    "make_algorithm",
    "register_algorithm",
    "register_family",
    "registered",
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

    The docstring of a class is its documentation everywhere: what it is, the meaning of options that are its own under
    `Args:`, and the source under `References:`.

    Class attributes:
        name: what users call it.
        kind: "scalar", or "least_squares" for solvers that work on residuals.
        needs_jac: whether it uses a derivative.
        supports_bounds, is_global: what it can do.
        needs_bounds: whether all params must have finite bounds.
        needs_room: whether their lower ones must be below the upper ones, too.
        is_deterministic: whether the same call always makes the same evaluations, whatever the seed.
        asks_jointly: whether it wants value and derivative at (nearly) every point, so that one batch gives both.
        copies_x: whether it hands a copy of x to each function that it calls, so that no other copy is needed.
        never_returns: whether it never asks for the same thing twice at one point, so that nothing need be remembered.
        library: import name of the library it comes from.
        extra: the extra of optcore that installs the library; None if it always is there.
        built_on: import names of further libraries, whose versions decide what it does, too.
        tight: the strictest tolerances that work, for benchmarks in which only the budget should end a run.
        aliases: further names of options -> the names of the fields. For the constructor, an alias is also an
            `InitVar` with the default None; they are declared in the order of this table.
        spellings: spellings in use elsewhere -> the names of the fields; taken as options, not by the constructor.
        library_names: the names of the fields -> what the library calls them, where that is something else.
        rules: which values options take, beyond those in options.py.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind] = Kind.SCALAR
    needs_jac: ClassVar[bool] = False
    supports_bounds: ClassVar[bool] = False
    needs_bounds: ClassVar[bool] = False
    needs_room: ClassVar[bool] = False
    is_global: ClassVar[bool] = False
    is_deterministic: ClassVar[bool] = True
    asks_jointly: ClassVar[bool] = False
    copies_x: ClassVar[bool] = False
    never_returns: ClassVar[bool] = False
    library: ClassVar[str] = "scipy"
    extra: ClassVar[str | None] = None
    built_on: ClassVar[tuple[str, ...]] = ()
    tight: ClassVar[Mapping[str, float]] = {}
    aliases: ClassVar[Mapping[str, str]] = {}
    spellings: ClassVar[Mapping[str, str]] = {}
    library_names: ClassVar[Mapping[str, str]] = {}
    rules: ClassVar[Mapping[str, Rule]] = {}

    def __post_init__(self, *given: Any) -> None:
        """Take over what was given under an alias, and check what isn't a default.

        Raises:
            InvalidInputError: a value that can't be, or an option given under both of its names.
        """
        if given:
            self._take_aliases(given)
        for name, default, rule in self._checks():
            value = getattr(self, name)
            if value is not default:
                object.__setattr__(self, name, rule.check(self.name, name, value))

    def _take_aliases(self, given: tuple[Any, ...]) -> None:
        for (alias, name), value in zip(self.aliases.items(), given, strict=True):
            if value is None:
                continue
            if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                raise InvalidInputError(f"{alias} is another name of {name} of {self.name}: give one of them")
            object.__setattr__(self, name, value)

    @classmethod
    @functools.cache
    def _checks(cls) -> tuple[tuple[str, Any, Rule], ...]:
        """Field, default and rule of the options that have a rule."""
        rules = {name: option.rule for name, option in OPTIONS.items()} | dict(cls.rules)
        return tuple((f.name, f.default, rules[f.name]) for f in fields(cls) if f.name in rules)

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
    def read_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options under the names of the fields; dotted names (`convergence.ftol_rel`) and aliases are accepted.

        Raises:
            UnknownNameError: an option that it doesn't have; says what the library's name is called here, or suggests
                the nearest.
            InvalidInputError: an option given twice, under two of its names.
        """
        known = cls.option_names()
        read: dict[str, Any] = {}
        for given, value in options.items():
            name = given.replace(".", "_")
            name = cls.aliases.get(name) or cls.spellings.get(name, name)
            if name not in known:
                raise cls._unknown_option(given, known)
            if name in read:
                raise InvalidInputError(f"{name} of {cls.name} is given twice, the second time as {given!r}")
            read[name] = value
        return read

    @classmethod
    def _unknown_option(cls, name: str, known: Sequence[str]) -> UnknownNameError:
        for ours, theirs in cls.library_names.items():
            if name == theirs:
                return UnknownNameError(
                    f"unknown option of {cls.name} {name!r}: {cls.library} calls it {theirs}; here it is {ours}"
                )
        return unknown_name(f"option of {cls.name}", name, [*known, *cls.aliases])

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Algorithm:
        """An instance with these options, under any of the names that `read_options` takes."""
        return cls(**cls.read_options(options)) if options else cls._with_defaults()

    @classmethod
    @functools.cache
    def _with_defaults(cls) -> Algorithm:
        return cls()

    def misfit(self, bounds: FlatBounds, names: Callable[[], Sequence[str]]) -> str | None:
        """Why it can't work on params with these bounds and names, and what to do; None if it can.

        Args:
            bounds: of all params, which says how many there are.
            names: gives the names of the params; called where a message needs them.
        """
        if bounds.any and not self.supports_bounds:
            return f"{self.name} can't handle bounds; use a solver that can (om.algos.filter(supports_bounds=True))"
        if not self.needs_bounds:
            return None
        missing = ~(np.isfinite(bounds.lower) & np.isfinite(bounds.upper))
        if missing.any():
            return (
                f"{self.name} searches within bounds; give finite lower and upper ones, which are missing for "
                f"{_listed(names(), missing)}"
            )
        equal = bounds.lower >= bounds.upper
        if self.needs_room and equal.any():
            return (
                f"{self.name} needs lower bounds below the upper ones, but they are equal for "
                f"{_listed(names(), equal)}; use fixed= for what is not to change"
            )
        return None


def _listed(names: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    """Some of the names, in quotes; the first five of them."""
    shown = [repr(names[i]) for i in np.flatnonzero(chosen).tolist()]
    return ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")


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
    if name in MODULES and cls.__module__ != f"optcore.solvers.{MODULES[name]}":
        raise InvalidInputError(f"the name {name!r} is taken by an algorithm of optcore; choose another one")
    _REGISTER[name] = cls
    return cls


#: Algorithms that are found when they are asked for, as PREFIX:NAME.
_FAMILIES: dict[str, Callable[[str], type[Algorithm]]] = {}


def register_family(prefix: str, find: Callable[[str], type[Algorithm]]) -> None:
    """Make the algorithms of another library known as `prefix:NAME`; `find` gives the class for NAME."""
    _FAMILIES[prefix] = find


#: What installed packages announce and can't be used: loaded again only where it is asked for, or the path has changed.
_UNUSABLE: set[Any] = set()


def _load_entry_points(wanted: str | None = None) -> None:
    """Load what installed packages announce; what can't be used is left out, or told where it is wanted."""
    for entry in _announced(tuple(map(_state, sys.path))):
        if entry.name in _REGISTER or (entry in _UNUSABLE if wanted is None else wanted != entry.name):
            continue
        try:
            _REGISTER[entry.name] = _as_class(entry.name, entry.load())
        except Exception as error:  # whatever the code of an installed package raises
            _UNUSABLE.add(entry)
            if wanted is not None:
                raise InvalidInputError(
                    f"the algorithm {entry.name!r}, which an installed package announces as {entry.value!r}, can't be "
                    f"used: {type(error).__name__}: {error}"
                ) from error


@functools.lru_cache(maxsize=1)
def _announced(_: tuple[Any, ...]) -> tuple[Any, ...]:
    """What installed packages announce. All of them are looked through, hence once for a state of the path."""
    from importlib.metadata import entry_points  # a quarter of the time that importing this package takes

    _UNUSABLE.clear()
    return tuple(entry_points(group=ENTRY_POINTS))


def _state(folder: str) -> tuple[Any, ...]:
    """Differs once something was installed in a folder of the path, or another folder is meant."""
    try:
        found = os.stat(folder or ".")
    except (OSError, ValueError):
        return (folder,)
    return folder, found.st_dev, found.st_ino, found.st_mtime_ns


def _as_class(name: str, found: Any) -> type[Algorithm]:
    from optcore.solvers.callables import announced  # it builds on this module

    if isinstance(found, type) and issubclass(found, Algorithm):
        return found
    if isinstance(found, type) or not callable(found):
        raise InvalidInputError(f"it is {found!r}, and a solver is a function or a subclass of om.Algorithm")
    return announced(name, found)


def _load(name: str) -> None:
    """Import the module that has it, if it is one that ships."""
    if name in MODULES and name not in _REGISTER:
        importlib.import_module(f"optcore.solvers.{MODULES[name]}")


def registered() -> list[type[Algorithm]]:
    """All that ship or are registered by now; without a look at what installed packages announce."""
    for name in MODULES:
        _load(name)
    return list(_REGISTER.values())


def algorithm_names() -> list[str]:
    """All names, of algorithms that ship, that are registered and that installed packages announce."""
    _load_entry_points()
    return sorted({*MODULES, *_REGISTER})


def get_algorithm(name: str) -> type[Algorithm]:
    """The algorithm of this name.

    Raises:
        UnknownNameError: suggests the nearest name.
    """
    family, colon, own = name.partition(":")
    if colon and family in FAMILIES:
        importlib.import_module(f"optcore.solvers.{FAMILIES[family]}")
    if colon and family in _FAMILIES:
        return _FAMILIES[family](own)
    _load(name)
    if name not in _REGISTER:
        _load_entry_points(name)
    if name not in _REGISTER:
        raise unknown_name("algorithm", name, algorithm_names())
    return _REGISTER[name]


def make_algorithm(algorithm: Any, options: Mapping[str, Any] | None) -> Algorithm:
    """An algorithm from a name, a class, an instance or a plain callable, with options.

    Raises:
        UnknownNameError, InvalidInputError, MissingLibraryError: says which name, option or library.
    """
    from optcore.solvers.callables import CallableAlgorithm  # it builds on this module

    options = options or {}
    if isinstance(algorithm, Algorithm):
        made = replace(algorithm, **algorithm.read_options(options)) if options else algorithm
    elif isinstance(algorithm, str):
        made = get_algorithm(algorithm).from_options(options)
    elif isinstance(algorithm, type) and issubclass(algorithm, Algorithm):
        made = algorithm.from_options(options)
    elif callable(algorithm):
        made = CallableAlgorithm(algorithm, dict(options))
    else:
        raise InvalidInputError(
            f"algorithm must be a name such as 'scipy_lbfgsb', one of om.algos, or a function, but got {algorithm!r}"
        )
    if missing := made.missing():
        raise MissingLibraryError(missing)
    return made
