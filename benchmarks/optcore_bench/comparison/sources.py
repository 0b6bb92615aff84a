"""Reading what is compared: stores, bundles, published folders, baselines, results in memory."""

from __future__ import annotations

import csv
import json
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.comparison.baseline import read_baseline, read_label
from optcore_bench.comparison.rows import Key, Row, Side
from optcore_bench.costs import cost_at
from optcore_bench.environment import environment_hash
from optcore_bench.evaluations import Evaluations, HasTables, floats, solver_label
from optcore_bench.gate import Gate
from optcore_bench.reproduction.original import open_original
from optcore_bench.store import Results
from optcore_bench.store.manifest import published_runs

__all__ = ["Opened", "common_floor", "open_side", "read_side"]

_RULES = ("budget", "stopping", "seed")
#: The accuracy of the costs in a published folder.
_PUBLISHED_TAU = 1e-5

#: Values f_L by suite, problem and dimension.
Floor = dict[tuple[str, str, int], float]


class Opened:
    """What was given as one side, opened but not judged yet: its costs depend on the gate and on the other side.

    Args:
        given: path of a store, a bundle, a published folder or a baseline, or results.
        name: what messages call it; the path by default.
    """

    def __init__(self, given: Any, name: str | None = None) -> None:
        self.side: Side | None = None
        self.evaluations: Evaluations | None = None
        self.name = name or (str(given) if isinstance(given, (str, os.PathLike)) else _name_of(given))
        if isinstance(given, Side):
            self.side = given if name is None else replace(given, name=name)
            return
        if isinstance(given, (str, os.PathLike)):
            path = Path(given).expanduser()
            if path.suffix.lower() == ".toml" and not path.is_dir():
                self.side = replace(read_baseline(path), name=self.name)
                return
            if (path / "study.toml").is_file() and not ((path / "runs").is_dir() or (path / "log").is_dir()):
                self.side = _published(path, self.name)
                return
            given = Results(path)
        self.results: Any = given
        if not getattr(given, "finished", True):
            raise InvalidInputError(f"{self.name!r} is not finished; run its study to the end first")
        self.evaluations = Evaluations.read(given)

    @property
    def gate(self) -> Mapping[str, Any]:
        """The table `[gate]` of its study."""
        if self.side is not None:
            return self.side.gate
        return _study(self.results).get("gate") or {}


def _name_of(given: Any) -> str:
    path = getattr(given, "path", None)
    return "results in memory" if path is None else str(path)


def open_side(given: Any, name: str | None = None) -> Opened:
    """Open a side, see `Opened`."""
    return given if isinstance(given, Opened) else Opened(given, name)


def common_floor(*sides: Opened) -> Floor:
    """f_L of every problem: what the first side knows, else the lowest value that any of them found."""
    floor: Floor = {}
    found: Floor = {}
    lowest = {name: value for side in sides if side.side is not None for name, value in side.side.lowest.items()}
    for side in sides:
        if side.evaluations is None:
            continue
        runs = side.evaluations.runs
        known = floats(runs["f_opt"])
        for key, f_opt, best in zip(_problem_keys(runs), known, side.evaluations.run_best, strict=True):
            if np.isfinite(f_opt):
                floor.setdefault(key, float(f_opt))
            elif (value := lowest.get(f"{key[0]}/{key[1]}")) is not None:
                floor.setdefault(key, value)
            found[key] = float(np.fmin(found.get(key, np.nan), best))
    return {**found, **floor}


def _problem_keys(runs: pd.DataFrame) -> list[tuple[str, str, int]]:
    sizes = [-1 if np.isnan(n) else int(n) for n in floats(runs["n"])]
    return list(zip(runs["suite"].astype(str), runs["problem"].astype(str), sizes, strict=True))


def read_side(opened: Opened, gate: Gate, floor: Floor) -> Side:
    """All rows with what they cost under the gate's tau and cost model.

    Args:
        opened: the side.
        gate: says tau and the cost model.
        floor: f_L of the problems, the same for both sides.

    Raises:
        InvalidInputError: costs are known for another tau or cost model only.
    """
    if opened.side is not None:
        _same_measure(opened.side, gate)
        return opened.side
    assert opened.evaluations is not None
    evaluations = opened.evaluations
    keys = _problem_keys(evaluations.runs)
    runs = evaluations.runs.assign(f_opt=[floor.get(key, math.nan) for key in keys])
    evaluations = replace(evaluations, runs=runs)
    costs = np.full(len(runs), np.inf)
    hits = evaluations.first_hits(evaluations.targets(gate.tau, "best_known"))
    solved = np.flatnonzero(hits >= 0)
    costs[solved] = cost_at(evaluations, hits[solved], gate.cost, gate.jac_cost)
    rows, inapplicable = _rows(runs, costs, _seconds(opened.results, runs))
    study = _study(opened.results)
    return Side(
        name=opened.name,
        rows=rows,
        not_applicable=inapplicable,
        environments=getattr(opened.results, "environments", {}),
        rules={key: study[key] for key in _RULES if key in study},
        gate=opened.gate,
        tau=gate.tau,
        source=opened.results,
    )


def _same_measure(side: Side, gate: Gate) -> None:
    if side.tau != gate.tau or gate.cost != "evaluations" or gate.jac_cost != 0:
        raise InvalidInputError(
            f"{side.name!r} holds evaluations at tau = {side.tau:g} only, and the gate asks for {gate.cost} at tau = "
            f"{gate.tau:g}; compare stores, or set the gate's tau to {side.tau:g}"
        )


def _study(results: Any) -> Mapping[str, Any]:
    study = getattr(results, "study", None)
    return study if isinstance(study, Mapping) else {}


def _seconds(results: HasTables, runs: pd.DataFrame) -> list[float]:
    timings = getattr(results, "timings", None)
    if timings is None or "run_id" not in timings:
        return [math.nan] * len(runs)
    known = dict(zip(timings["run_id"], floats(timings["seconds"]), strict=True))
    return [float(known.get(run_id, math.nan)) for run_id in runs["run_id"]]


def _rows(runs: pd.DataFrame, costs: Any, seconds: list[float]) -> tuple[dict[Key, Row], dict[Key, str]]:
    rows: dict[Key, Row] = {}
    inapplicable: dict[Key, str] = {}
    f_start = floats(runs["f_start"])
    for i, run in enumerate(runs.to_dict("records")):
        noise = run["noise"] if isinstance(run["noise"], str) and run["noise"] else ""
        suite = run["suite"] if isinstance(run["suite"], str) and run["suite"] else ""
        row = Row(
            problem=f"{suite}{'/' if suite else ''}{run['problem']}{' ~ ' if noise else ''}{noise}",
            start=1 if pd.isna(run["start"]) else int(run["start"]),
            solver=solver_label(run["algorithm"], run["derivative"]),
            cost=float(costs[i]),
            evaluations=int(_count(run["n_fun_evals"]) + _count(run["n_fun_and_jac_evals"])),
            status=str(run["status"]),
            message=str(run["message"] or ""),
            run_id=str(run["run_id"]),
            history=str(run["history_hash"] or ""),
            environment=str(run["environment"] or ""),
            version=str(run["problem_version"] or ""),
            f_start=float(f_start[i]),
            seconds=seconds[i],
        )
        if row.status == "not_applicable":
            inapplicable[row.key] = row.message
        else:
            rows[row.key] = replace(row, share=float(row.is_solved))
    return rows, inapplicable


def _count(value: Any) -> int:
    return 0 if value is None or pd.isna(value) else int(value)


def _published(path: Path, name: str) -> Side:
    """A published folder: `costs.csv`, as `cost_table` gives it, and how runs ended, where it has its table of runs."""
    if not (path / "costs.csv").is_file():
        raise InvalidInputError(
            f"'{path}' holds no evaluations; publish its costs too, as costs.csv of optcore_bench.cost_table at tau = "
            f"{_PUBLISHED_TAU:g}, or compare its store"
        )
    costs = _published_costs(path / "costs.csv")
    environment = _json(path / "manifest.json").get("environment") or {}
    known, inapplicable = _published_runs(path)
    rows: dict[Key, Row] = {}
    for (problem, start, solver), cost in costs.items():
        row = Row(problem, start, solver, cost, environment=environment_hash(environment))
        row = known.get(row.key, row)
        rows[row.key] = replace(row, cost=cost, share=float(math.isfinite(cost)))
    study = _toml(path / "study.toml")
    return Side(
        name=name,
        rows=rows,
        not_applicable=inapplicable,
        environments={environment_hash(environment): environment},
        rules={key: study[key] for key in _RULES if key in study},
        gate=study.get("gate") or {},
        tau=_PUBLISHED_TAU,
    )


def _published_costs(file: Path) -> dict[tuple[str, int, str], float]:
    with file.open(encoding="utf-8", newline="") as opened:
        header, *lines = list(csv.reader(opened))
    try:
        return {
            (*read_label(label), solver): float(cell)
            for label, *cells in lines
            for solver, cell in zip(header[1:], cells, strict=True)
            if cell
        }
    except ValueError as error:
        raise InvalidInputError(f"'{file}' is no table of costs: {error}") from error


def _published_runs(path: Path) -> tuple[dict[Key, Row], dict[Key, str]]:
    if published_runs(path) is None:
        return {}, {}
    runs = pd.DataFrame(list(open_original(path).rows))
    return _rows(runs, [math.inf] * len(runs), [math.nan] * len(runs))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InvalidInputError(f"'{path}' is not JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"'{path}' is not valid TOML: {error}") from error
