"""What an optimization returns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from optcore.convergence import convergence_report
from optcore.errors import UnknownNameError, unknown_name
from optcore.evaluator import Status
from optcore.files import replacing
from optcore.history import History, distinct
from optcore.provenance import Provenance, json_numbers, plain

__all__ = ["OptimizeResult"]

#: What results of scipy and optimagic have under these names, and where it is here.
ELSEWHERE = {
    "jac": "derivatives are not kept; om.first_derivative(fun, result.params) takes one",
    "grad": "derivatives are not kept; om.first_derivative(fun, result.params) takes one",
    "hess": "second derivatives are not kept",
    "hess_inv": "second derivatives are not kept",
    "nhev": "second derivatives are not kept",
    "n_hess_evals": "second derivatives are not kept",
    "cost": "fun is the sum of squares; scipy's cost is half of it",
    "criterion": "the value is called fun",
    "optimality": "convergence_report says how much still changed in the end",
    "residuals": "residuals are not kept; call your function with result.params",
    "multistart_info": "multistart is out of scope; start in a loop of your own",
    "algorithm_output": "what the solver says of itself is in claims",
    "logger": "every call is in history",
    "maxcv": "constraints are out of scope",
    "max_constraint_violation": "constraints are out of scope",
    "n_free": "result.history.rows.x.shape[1] is the number of params that were free",
}
ALIASES = ("x", "x0", "nfev", "njev", "nit")


@dataclass(frozen=True, eq=False, repr=False)
class OptimizeResult:
    """The result of minimize or maximize.

    Scipy's names `x`, `x0`, `nfev`, `njev` and `nit` can be read too, as attributes or as `result["x"]`.

    Attributes:
        params: the best feasible point that the solver asked for, structured as the start was.
        fun: the value there; the sum of squares for least squares.
        status: how it ended; see `om.Status`.
        message: in the words of the solver, or what stopped it.
        algorithm: name of the algorithm.
        direction: "minimize" or "maximize".
        start_params, start_fun: where it began.
        n_iterations: as the solver counts them; None if it doesn't.
        n_fun_evals: calls of fun, those for numerical derivatives included.
        n_jac_evals, n_fun_and_jac_evals: calls of jac and fun_and_jac.
        n_numdiff_evals: the part of n_fun_evals that was made for numerical derivatives.
        n_evaluations_by_purpose: calls of fun and fun_and_jac by purpose, those that there were; see `om.Purpose`.
        seconds: wall time.
        history: every call; empty with collect_history=False.
        claims: what the solver says of itself, beside what was counted: its final point `x` (flat), its own counts.
        provenance: what `options`, `versions` and `environment` are read from.
    """

    params: Any
    fun: float
    status: Status
    message: str
    algorithm: str
    direction: str
    start_params: Any
    start_fun: float
    n_iterations: int | None
    n_fun_evals: int
    n_jac_evals: int
    n_fun_and_jac_evals: int
    n_numdiff_evals: int
    seconds: float
    history: History
    provenance: Provenance
    claims: Mapping[str, Any] = field(default_factory=dict)
    n_evaluations_by_purpose: Mapping[str, int] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        """Whether the solver claims convergence."""
        return self.status is Status.CONVERGED

    # how it was made ------------------------------------------------------------------------------------------------

    @property
    def options(self) -> dict[str, Any]:
        """What was asked for, defaults filled in: keys `algorithm`, `numdiff`, `budget`, `error_handling`.

        `numdiff` is None where no derivative was taken numerically, `budget` where there was no limit. Functions
        among the options are named, not kept.
        """
        return self.provenance.options

    @property
    def versions(self) -> dict[str, str | None]:
        """Versions of optcore, python, numpy, scipy and the solver's library."""
        return self.provenance.versions

    @property
    def environment(self) -> dict[str, str | int | None]:
        """The machine: `os, machine, cpu, cpu_count, blas, blas_threads`, as it was when first asked for or pickled."""
        return self.provenance.environment

    @cached_property
    def convergence_report(self) -> dict[str, dict[str, float]] | None:
        """How much fun and params changed over the last step and the last five; see `optcore.convergence`."""
        return convergence_report(self.history)

    # scipy's names --------------------------------------------------------------------------------------------------

    @property
    def x(self) -> Any:
        """Scipy's name of `params`."""
        return self.params

    @property
    def x0(self) -> Any:
        """The start, `start_params`."""
        return self.start_params

    @property
    def nfev(self) -> int:
        """How often fun was evaluated, alone, for numerical derivatives or by fun_and_jac: what scipy counts."""
        return self.n_fun_evals + self.n_fun_and_jac_evals

    @property
    def njev(self) -> int:
        """How often a derivative was evaluated that the user gave: calls of jac and fun_and_jac."""
        return self.n_jac_evals + self.n_fun_and_jac_evals

    @property
    def nit(self) -> int | None:
        """Scipy's name of `n_iterations`."""
        return self.n_iterations

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except (AttributeError, TypeError) as error:
            raise UnknownNameError(str(error)) from None

    __iter__ = None  # entries have names, no order

    if not TYPE_CHECKING:  # type checkers know what there is

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            if name in ELSEWHERE:
                raise AttributeError(f"a result has no {name!r}: {ELSEWHERE[name]}")
            known = [known for known in dir(self) if not known.startswith("_")]
            raise AttributeError(str(unknown_name("attribute of a result", name, known)))

    # to keep and to send --------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """All but the history, as JSON has it.

        Returns:
            Strings, numbers, bools, None, lists and dicts. `params` and `start_params` are numbers by the names of
            `history.names`; NaN and the infinities, which JSON lacks, are the strings "NaN", "Infinity", "-Infinity",
            as `float` reads them.
        """
        names = distinct(self.history.names)
        summary: dict[str, Any] = json_numbers(
            {
                "algorithm": self.algorithm,
                "direction": self.direction,
                "status": self.status.value,
                "success": self.success,
                "message": self.message,
                "fun": float(self.fun),
                "start_fun": float(self.start_fun),
                "params": dict(zip(names, self.history.flatten(self.params).tolist(), strict=True)),
                "start_params": dict(zip(names, self.history.flatten(self.start_params).tolist(), strict=True)),
                **{name: plain(getattr(self, name)) for name in _COUNTS},
                "n_evaluations_by_purpose": dict(self.n_evaluations_by_purpose),
                "seconds": float(self.seconds),
                "convergence_report": self.convergence_report,
                "claims": plain(self.claims),
                "options": self.options,
                "versions": self.versions,
                "environment": self.environment,
            }
        )
        return summary

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The summary as strict JSON text, also written to a file where a path is given.

        >>> import json, numpy as np, optcore as om
        >>> text = om.minimize(lambda x: float(x @ x), np.ones(2), "scipy_lbfgsb").to_json()
        >>> json.loads(text)["options"]["algorithm"]["limited_memory_storage_length"]
        10
        """
        import json

        text = json.dumps(self.summary(), indent=2, allow_nan=False)
        if path is not None:
            with replacing(path) as beside:
                beside.write_text(text + "\n", encoding="utf-8")
        return text

    def to_pickle(self, path: str | os.PathLike[str]) -> None:
        """Write all of it, history included, to a file that `pickle.load` reads.

        Classes of params that are defined in a script or a notebook are written with it.
        """
        from optcore.pickling import dumps

        data = dumps(self)
        with replacing(path) as beside:
            beside.write_bytes(data)

    # to look at -----------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        from optcore.display import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        """A table for notebooks; options, versions and environment fold out."""
        from optcore.display import as_html

        return as_html(self)


_COUNTS = ("n_iterations", "n_fun_evals", "n_jac_evals", "n_fun_and_jac_evals", "n_numdiff_evals")
