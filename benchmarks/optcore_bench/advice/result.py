"""What advise found: one sentence, and the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from optcore_bench.advice.best import BestMap
from optcore_bench.advice.probe import Probe, Tried
from optcore_bench.advice.trials import Candidate, Trial
from optcore_bench.words import count

__all__ = ["Advice", "duration"]

#: Letters of a message in a printed table.
_WORDS_WIDE = 60

_WORDS = {
    "analytic": "your jac",
    "fun_and_jac": "your fun_and_jac",
    "jax": "JAX's derivatives",
    "complex_step": "complex steps",
    "forward": "forward differences",
    "central": "central differences",
    "calibrated": "forward differences with measured steps",
    "forward, noise": "forward differences with steps for its noise",
    "central, noise": "central differences with steps for its noise",
    "sparse": "differences of a sparse jacobian",
    "none": "no derivatives",
}


@dataclass(frozen=True, eq=False, repr=False)
class Advice:
    """The advice and its evidence. Prints as text.

    Attributes:
        options: arguments for `om.minimize(fun, params, **advice.options)` (or maximize).
        best: label of the candidate that is advised, as "scipy_lbfgsb [forward]".
        table: one row for each candidate that was run; see `advise`.
        derivatives: one row for each source of derivatives: `calls`, `seconds`, `error`, `leaf`, `verdict`.
        errors: of each source by leaf and point, see `Probe.errors`.
        map: what is best for which price of an evaluation and number of cores.
        probe: what the first calls told.
        trials: what was run, with the results.
        tau: how near to the best value found a candidate had to come.
        cores: that the advice counts with.
        notes: what else should be known, a sentence each.
    """

    options: dict[str, Any]
    best: str
    table: pd.DataFrame
    derivatives: pd.DataFrame
    errors: pd.DataFrame
    map: BestMap
    probe: Probe
    trials: tuple[Trial, ...]
    tau: float
    cores: int
    notes: tuple[str, ...] = field(default=())

    @property
    def sentence(self) -> str:
        """The advice in one sentence, with its evidence."""
        trial = next(trial for trial in self.trials if trial.candidate.label == self.best)
        row = self.table.loc[self.best]
        n_cores = getattr(self.options.get("numdiff_options"), "n_cores", 1)
        where = f" on {n_cores} cores" if n_cores > 1 else ""
        calls = count(round(row["evaluations"]), "evaluation")
        if row["jacobians"]:
            calls += f" and {count(round(row['jacobians']), 'call')} for derivatives"
        text = (
            f"take {trial.candidate.name} with {_WORDS.get(trial.candidate.source.name, trial.candidate.source.name)}"
            f"{where}: it came within {self.tau:g} of the best value found, {row['f']:.6g}, after {calls}, "
            f"which is {duration(float(row['seconds']))} at {duration(self.probe.seconds)} an evaluation"
        )
        others = self.table.drop(index=self.best)
        others = others[np.isfinite(others["seconds"])]
        if len(others) and row["seconds"] > 0:
            second = others["seconds"].idxmin()
            ratio = f"{others['seconds'].min() / row['seconds']:.2g}"
            text += f"; {second} took {'' if ratio == '1' else f'{ratio} times '}as long"
        elif len(self.table) > 1:
            text += "; nothing else that was run came there"
        return text[0].upper() + text[1:] + "."

    def figure(self) -> go.Figure:
        """Price of an evaluation x cores -> what takes the least time, with exact boundaries."""
        return self.map.figure()

    def criterion_plot(self) -> go.Figure:
        """The values that the candidates found, against evaluations."""
        import optcore as om

        return om.criterion_plot(
            {trial.candidate.label: trial.result for trial in self.trials if trial.result is not None}, monotone=True
        )

    def __str__(self) -> str:
        parts = [self.sentence, *self.notes, _facts(self.probe)]
        return "\n".join([*parts, "", _text(self.table), "", _text(self.derivatives)])

    __repr__ = __str__


def _facts(probe: Probe) -> str:
    noise = f"noise of {probe.noise:.2g}" if probe.noisy else "no noise above rounding"
    values = "" if probe.m is None else f", {count(probe.m, 'value')}"
    return (
        f"{count(probe.n, 'param')}{values}; {duration(probe.seconds)} an evaluation; {noise}; derivatives compared "
        f"with {probe.reference or 'nothing'}; {count(probe.n_calls, 'call')} before the first optimization."
    )


def _text(table: pd.DataFrame) -> str:
    """As wide as terminals are: columns of words are cut."""
    words = {name: table[name].map(_short) for name in ("message", "verdict") if name in table}
    return str(table.assign(**words).to_string(float_format=lambda value: f"{value:.3g}", na_rep="-"))


def _short(text: object) -> str:
    one_line = " ".join(str(text).split())
    return one_line if len(one_line) <= _WORDS_WIDE else f"{one_line[: _WORDS_WIDE - 3]}..."


def derivative_table(kept: Sequence[Tried], rest: Sequence[Tried]) -> pd.DataFrame:
    """One row a source: what a derivative and the value cost, how good it is, and whether it was run."""
    rows = [
        {
            "derivative": tried.source.name,
            "calls": tried.n_calls,
            "seconds": tried.seconds,
            "error": tried.error,
            "leaf": tried.leaf,
            "verdict": tried.reason or "run",
        }
        for tried in [*kept, *rest]
    ]
    columns = ["derivative", "calls", "seconds", "error", "leaf", "verdict"]
    return pd.DataFrame(rows, columns=columns).set_index("derivative")


def options_of(candidate: Candidate, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of minimize for a candidate, those that the user gave among them."""
    unused = [name for name in ("jac", "fun_and_jac") if name not in candidate.source.arguments]
    own = {name: value for name, value in arguments.items() if name.removesuffix("_kwargs") not in unused}
    return {"algorithm": candidate.algorithm, **own, **candidate.source.arguments}


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> [duration(t) for t in (2.5e-6, 0.0123, 3.0, 600.0, 90000.0)]
    ['2.5 µs', '12 ms', '3 s', '10 min', '25 h']
    """
    for unit, size, limit in (("µs", 1e-6, 1e-3), ("ms", 1e-3, 1.0), ("s", 1.0, 120.0), ("min", 60.0, 7200.0)):
        if seconds < limit:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds / 3600:.2g} h"
