"""The citation of a study: which references it needs, and the paragraph on its methods."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

import optcore as om
from optcore._version import __version__
from optcore.errors import InvalidInputError
from optcore_bench.citations.references import read_references
from optcore_bench.citations.sources import ALGORITHMS, LIBRARIES, METHODS, STRATEGIES, SUITES
from optcore_bench.costs import cost_table, tau_label
from optcore_bench.evaluations import Evaluations
from optcore_bench.store import Results
from optcore_bench.store.schema import FAILED
from optcore_bench.study import taus_of
from optcore_bench.words import count

__all__ = ["Citation", "cite"]

_SPECIAL = re.compile(r"([_#%&$])")
_MARK = re.compile(r" ?<<([\w, \\]*)>>")
_FORMULAS = (
    (r"f(x) <= f\_L + tau (f\_start - f\_L)", r"$f(x) \le f_L + \tau (f_0 - f_L)$"),
    (r"f\_L", "$f_L$"),
    ("tau =", r"$\tau$ ="),
)
_STRATEGIES = {
    "none": "no derivative for solvers that use none",
    "analytic": "closed form",
    "fun_and_jac": "closed form together with the value",
    "jax": "automatic differentiation by JAX",
    "complex_step": "complex steps",
    "forward": "forward differences",
    "backward": "backward differences",
    "central": "central differences",
    "richardson": "extrapolated differences",
    "calibrated": "differences with measured steps",
    "auto": "differences with measured steps, forward or central as needed",
    "sparse": "differences along the colours of a sparse jacobian",
}


@dataclass(frozen=True)
class Citation:
    """What a paper with this study cites and says.

    Attributes:
        keys: of the references, sorted.
        unknown: algorithms, suites and strategies that aren't ours, to be cited by their users.
        marked: the paragraph with marks where something is cited.
        own: the entry of optcore itself.
    """

    keys: tuple[str, ...]
    unknown: tuple[str, ...]
    marked: str
    own: str

    @property
    def bibtex(self) -> str:
        """All entries, optcore's first."""
        known = read_references()
        return "\n\n".join([self.own, *(known[key] for key in self.keys)]) + "\n"

    @property
    def methods(self) -> str:
        """The paragraph as plain text, without citations."""
        return _MARK.sub("", self.marked)

    @property
    def latex(self) -> str:
        r"""The paragraph for LaTeX, with `\\cite`."""
        text = _SPECIAL.sub(r"\\\1", self.marked)
        text = _MARK.sub(lambda found: f"~\\cite{{{found[1].replace(chr(92), '')}}}", text)
        for plain, formula in _FORMULAS:
            text = text.replace(plain, formula)
        return re.sub(r"\b1e-(\d+)\b", r"$10^{-\1}$", text)


def cite(store: Results | str | os.PathLike[str]) -> Citation:
    """What to cite for a study, and how to describe it.

    Args:
        store: a store, or its folder.

    Raises:
        InvalidInputError: no run of the store applies.

    >>> import tempfile
    >>> import optcore_bench as ob
    >>> study = ob.Study("two", problems="more_wild/rosenbrock", algorithms="scipy_lbfgsb")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     citation = cite(ob.run_study(study, store=folder, n_jobs=1))
    >>> citation.keys
    ('byrd1995', 'dolan2002', 'gould2016', 'harris2020', 'more2009', 'virtanen2020')
    """
    results = store if isinstance(store, Results) else Results(store)
    evaluations = Evaluations.read(results)
    if not evaluations.applicable.any():
        raise InvalidInputError("there is nothing to cite: the store has no finished run that applies")
    runs = evaluations.runs[evaluations.applicable]
    sentences = [
        _what(results, runs),
        _solvers(results, runs),
        _derivatives(results, runs),
        _rules(results),
        _judged(results, evaluations),
        _counted(),
        _ended(evaluations),
        _where(results),
    ]
    marked = " ".join(sentence for sentence in sentences if sentence)
    keys = {key for found in _MARK.findall(marked) for key in found.replace(" ", "").split(",") if key}
    unknown = [
        *(name for name in _distinct(runs["suite"]) if name not in SUITES),
        *(name for name, algorithm in _named(results, runs).items() if not _is_known(algorithm)),
    ]
    return Citation(tuple(sorted(keys - {"optcore"})), tuple(unknown), marked, _own())


def _own() -> str:
    lines = [
        "@misc{optcore,",
        "  author = {{The optcore developers}},",
        "  title = {optcore: benchmarking and reproducibility for numerical optimization},",
        f"  note = {{Version {__version__}}},",
        "}",
    ]
    return "\n".join(lines)


# --- sentences --------------------------------------------------------------------------------------------------------


def _what(results: Results, runs: pd.DataFrame) -> str:
    suites = [f"{name}{_marks(SUITES.get(name, ()))}" for name in _distinct(runs["suite"])]
    n = runs["n"].dropna().astype(int)
    sizes = f" with {' to '.join(map(str, sorted({n.min(), n.max()})))} parameters" if len(n) else ""
    starts = int(pd.to_numeric(runs["start"]).fillna(1).max())
    more = f" from {starts} starts each" if starts > 1 else ""
    name = str(results.study.get("name") or "this study")
    problems = runs[["suite", "problem"]].drop_duplicates().shape[0]
    return (
        f"The study {name} was run with optcore {_version(results, 'optcore') or __version__} <<optcore>> on "
        f"{count(problems, 'problem')}{sizes}{more} of {_list(suites) or 'no suite'}: "
        f"{count(len(runs), 'run')}."
    )


def _solvers(results: Results, runs: pd.DataFrame) -> str:
    libraries: dict[str, list[str]] = {}
    for name, algorithm in _named(results, runs).items():
        libraries.setdefault(_library(algorithm), []).append(f"{name}{_marks(ALGORITHMS.get(algorithm, ()))}")
    parts = []
    for library, names in libraries.items():
        keys, package = LIBRARIES.get(library, ((), library))
        version = _version(results, package)
        of = f" of {package}{f' {version}' if version else ''}{_marks(keys)}" if library else " of our own"
        parts.append(f"{_list(names)}{of}")
    return f"Solvers: {'; '.join(parts)}."


def _derivatives(results: Results, runs: pd.DataFrame) -> str:
    kinds = {}
    for entry in _entries(results, "derivatives"):
        table = entry if isinstance(entry, Mapping) else {"name": entry}
        kinds[str(table.get("name", table.get("strategy")))] = str(table.get("strategy", table.get("name")))
    words = []
    for name in _distinct(runs["derivative"]):
        kind = kinds.get(name, name)
        note = _STRATEGIES.get(kind)
        version = f" {_version(results, 'jax')}" if kind == "jax" and _version(results, "jax") else ""
        words.append(f"{name}{f' ({note}{version})' if note else ''}{_marks(STRATEGIES.get(kind, ()))}")
    return f"Derivatives came from {_list(words)}." if words else ""


def _rules(results: Results) -> str:
    budget = results.study.get("budget") or {}
    words = {
        "max_gradients": "{:g} (n + 1) evaluations of the objective",
        "max_evaluations": "{:g} evaluations of the objective",
        "max_seconds": "{:g} seconds",
    }
    limits = [words[key].format(value) for key, value in budget.items() if value is not None and key in words]
    stopping = {
        "tight": "All tolerances of the solvers were set to their strictest values.",
        "default": "The solvers stopped by the default tolerances of their libraries.",
    }.get(str(results.study.get("stopping")), "")
    return " ".join(part for part in (f"Each run was given {_list(limits)}." if limits else "", stopping) if part)


def _judged(results: Results, evaluations: Evaluations) -> str:
    taus = [tau_label(tau) for tau in taus_of(results.study)]
    sources = list(cost_table(evaluations).attrs["f_opt_source"].values())
    unknown = sum(source != "best known" for source in sources)
    known = "the best known value of each problem"
    reference = known if not unknown else f"{known}, and for {unknown} of {len(sources)} the best value of these runs"
    return (
        "A problem counts as solved at the first evaluation with f(x) <= f_L + tau (f_start - f_L)"
        f"{_marks(METHODS['convergence test'])}, tau = {_list(taus)}, where f_L is {reference}."
    )


def _counted() -> str:
    return (
        "Costs count every evaluation of the objective, those for numerical derivatives included; a jacobian counts as "
        "nothing, as the time it was measured to take, or as n evaluations. Solvers are compared by data profiles"
        f"{_marks(METHODS['data profiles'])} and performance profiles{_marks(METHODS['performance profiles'])}, the "
        "latter read for the best solver and in pairs only"
        f"{_marks(METHODS['comparing more than two solvers'])}; what is not solved stays in the denominators."
    )


def _ended(evaluations: Evaluations) -> str:
    status = evaluations.runs["status"].value_counts()
    failed = {name: int(status[name]) for name in FAILED if name in status}
    words = _list([f"{count} ended as '{name}'" for name, count in failed.items()]) if failed else "no run failed"
    apart = int(status.get("not_applicable", 0))
    pairs = f" {apart} combinations of problem, solver and derivative can't be and were not run." if apart else ""
    return f"{words[0].upper()}{words[1:]}.{pairs}"


def _where(results: Results) -> str:
    place = results.manifest.get("environment") or {}
    parts = [str(place["python"])] if "python" in place else []
    parts += [f"numpy {place['numpy']} <<harris2020>>"] if "numpy" in place else []
    parts += [f"{place[key]}" for key in ("blas", "cpu", "os") if place.get(key)]
    where = f"Environment: {', '.join(parts)}; one thread for linear algebra. " if parts else ""
    return f"{where}Counts and histories have the digest {results.digest}."


# --- what there is ----------------------------------------------------------------------------------------------------


def _named(results: Results, runs: pd.DataFrame) -> dict[str, str]:
    """Names of the study's algorithms, and which algorithm each is."""
    known = {}
    for entry in _entries(results, "algorithms"):
        table = entry if isinstance(entry, Mapping) else {"name": entry}
        known[str(table.get("name", table.get("algorithm")))] = str(table.get("algorithm", table.get("name")))
    there = _distinct(runs["algorithm"])
    ordered = [name for name in known if name in there]
    return {name: known.get(name, name) for name in dict.fromkeys([*ordered, *there])}


def _entries(results: Results, key: str) -> list[Any]:
    entries = results.study.get(key) or []
    return [entries] if isinstance(entries, (str, Mapping)) else list(entries)


def _is_known(algorithm: str) -> bool:
    return algorithm in ALGORITHMS or algorithm.startswith("optimagic:")


def _library(algorithm: str) -> str:
    if algorithm.startswith("optimagic:"):
        return "optimagic"
    return next((str(known.library) for known in om.algos if known.name == algorithm), "")


def _version(results: Results, package: str) -> str:
    place = results.manifest.get("environment") or {}
    packages = (results.manifest.get("provenance") or {}).get("packages") or {}
    normal = {name.lower().replace("_", "-"): version for name, version in packages.items()}
    return str(place.get(package) or normal.get(package.lower()) or "")


def _marks(keys: Iterable[str]) -> str:
    joined = ", ".join(keys)
    return f" <<{joined}>>" if joined else ""


def _distinct(column: pd.Series) -> list[str]:
    return [str(value) for value in column.dropna().unique() if str(value)]


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
