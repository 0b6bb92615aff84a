"""A study as it is published: what was asked, what came out, what that says, and how to get the same."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

import optcore as om
from optcore.errors import InvalidInputError
from optcore_bench.conclusions import findings
from optcore_bench.evaluations import Evaluations
from optcore_bench.figures import split_label
from optcore_bench.publish.chosen import MOST_LINES, for_files
from optcore_bench.publish.folder import Published, check_formats, publish_figures
from optcore_bench.publish.lessons import ENOUGH, derivative_lessons, limits_of_the_problems, stopping_rows
from optcore_bench.publish.tables import solvers_table, strategies_table
from optcore_bench.report import write_report
from optcore_bench.store import Results
from optcore_bench.store.export import export_bundle
from optcore_bench.store.files import explained, replace_file, replace_text
from optcore_bench.store.manifest import MANIFEST, STUDY
from optcore_bench.study import shipped_studies, taus_of

__all__ = ["LARGEST_BUNDLE", "publish_study"]

_TAU = 1e-5
_README, _RUNS, _REPORT, _FIGURES, _BUNDLE = "README.md", "runs.parquet", "report.html", "figures", "store.zip"
#: Bundles that are larger are not published: repositories keep every version of them.
LARGEST_BUNDLE = 5_000_000


def publish_study(
    store: Results | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    beside: Results | str | os.PathLike[str] | None = None,
    formats: str | Sequence[str] = ("svg",),
) -> Published:
    """Write a study as it is published: small enough for a repository, and enough for others to get the same.

    The folder holds `study.toml`, `manifest.json` and `runs.parquet` (all runs with their counts and the hashes of
    their histories, which `optcore reproduce FOLDER` compares with), the whole store as `store.zip` where that takes at
    most 5 MB, `report.html` (with plotly.js from its server),
    `figures` (see `publish_figures`; a few are drawn, the numbers come of all) and `README.md`: what was found, as
    sentences and tables made from the numbers, what the problems can't show, the environment and the commands.

    Args:
        store: a finished store, or its folder.
        folder: where to write; made where missing. What is there under these names is replaced.
        beside: a second study of the same solvers, such as one with the default tolerances, which the README compares
            with the first. It is published too, in a folder of its name within.
        formats: of figures; none if they shall not be drawn.

    Returns:
        The files.

    Raises:
        InvalidInputError: a store is not finished, or both studies have one name.
        MissingLibraryError: kaleido, or a browser for it, isn't installed.
    """
    kinds, root = check_formats(formats), Path(folder).expanduser()
    first = _finished(store)
    second = None if beside is None else _finished(beside)
    if second is not None and _name(second) == _name(first):
        raise InvalidInputError(f"both studies are called {_name(first)!r}; a study beside another has its own name")
    written = _publish(first, second, root, kinds)
    if second is not None:
        written += _publish(second, None, root / _name(second), kinds)
    return Published(root, tuple(written))


def _finished(store: Results | str | os.PathLike[str]) -> Results:
    results = store if isinstance(store, Results) else Results(store)
    if results.path is None or not results.path.is_dir() or not results.finished:
        raise InvalidInputError(
            f"'{results.path}' is no folder of a finished study; run it to its end, or unpack the bundle: "
            "optcore store import FILE.zip STORE"
        )
    return results


def _name(results: Results) -> str:
    return str(results.study.get("name") or "study")


def _publish(results: Results, second: Results | None, root: Path, kinds: list[str]) -> list[Path]:
    assert results.path is not None  # seen to by `_finished`
    evaluations = Evaluations.read(results)
    written = [root / name for name in (_README, STUDY, MANIFEST, _RUNS, _REPORT)]
    with explained(root, "what was written before is whole"):
        root.mkdir(parents=True, exist_ok=True)
        for name in (STUDY, MANIFEST):
            source = results.path / name
            replace_file(root / name, partial(_copy, source))
        runs = results.selected[1].runs
        replace_file(root / _RUNS, lambda temporary: pq.write_table(runs, temporary, compression="zstd"))
    written += _bundle(results.path, root / _BUNDLE)
    write_report(evaluations, root / _REPORT, taus=taus_of(results.study), cdn=True)
    shown = _shown(evaluations)
    figures = publish_figures(evaluations, root / _FIGURES, formats=kinds, width="double", only=shown)
    other = None if second is None else (_name(second), Evaluations.read(second))
    text = "\n".join([*_readme(results, evaluations, other, shown, kinds), *_files(written), ""])
    replace_text(root / _README, text)
    return [*written, *figures.files]


def _bundle(store: Path, target: Path) -> list[Path]:
    """The store as a bundle, where it is small."""
    target.unlink(missing_ok=True)
    export_bundle(store, target)
    if target.stat().st_size <= LARGEST_BUNDLE:
        return [target]
    target.unlink()
    return []


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _shown(evaluations: Evaluations) -> list[str]:
    """Names of the figures that the README shows: all solvers where they are few, else a few groups of them."""
    solvers = evaluations.solvers
    if len(solvers) <= MOST_LINES:
        return ["data_profile", "performance_profile"]
    kinds = {algorithm.name: str(algorithm.kind) for algorithm in om.algos}
    algorithms, strategies = map(Counter, zip(*map(split_label, solvers), strict=True))
    several = [name for name, count in algorithms.items() if count > 1]
    first = [next((a for a in several if kinds.get(a) == kind), None) for kind in ("scalar", "least_squares")]
    common = [name for name, count in strategies.items() if count > 1]
    wanted = [*first, *common[:1], *(name for name in ("forward",) if name in common[1:])]
    return [f"data_profile-{for_files(name)}" for name in wanted if name]


# --- the page ---------------------------------------------------------------------------------------------------------


def _readme(
    results: Results,
    evaluations: Evaluations,
    other: tuple[str, Evaluations] | None,
    shown: Sequence[str],
    kinds: Sequence[str],
) -> list[str]:
    taus, name = taus_of(results.study), _name(results)
    lines = [f"# {name}", "", str(results.study.get("description") or ""), ""]
    lines += ["Every number and sentence on this page was made from the store by `optcore report --publish`.", ""]
    lines += ["## What was found", ""]
    found = findings(evaluations, taus)
    lines += [f"- {_markdown(item.sentence)}" for item in found.results]
    strategies = strategies_table(evaluations, taus)
    if len(strategies.frame):
        lines += ["", "### What a derivative is worth", ""]
        lines += [
            "Costs are medians over pairs of problem and solver. All strategies have the same budget of evaluations, "
            "those for derivatives included. 'Enough': of what exact derivatives solve, at most "
            f"{100 * ENOUGH:g} % are lost, at that tau and at all larger ones.",
            "",
        ]
        lines += [f"- {sentence}" for sentence in derivative_lessons(evaluations, taus)]
        lines += ["", strategies.caption, "", strategies.to_markdown().rstrip()]
    if other is not None:
        lines += ["", f"### {name} beside {other[0]}", ""]
        lines += [f"Solved runs by derivative strategy; [{other[0]}]({other[0]}/README.md) has its own page.", ""]
        lines += stopping_rows((evaluations, other[1]), (name, other[0]), taus)
    if kinds:
        picture = "svg" if "svg" in kinds else "png" if "png" in kinds else ""
        lines += [""] if picture else []
        lines += [f"![{one}]({_FIGURES}/{one}.{picture})" for one in shown if picture]
    lines += ["", "## What must not be concluded", ""]
    lines += [f"- {_markdown(sentence)}" for sentence in limits_of_the_problems(evaluations)]
    lines += [f"- {_markdown(item.sentence)}" for item in found.cautions]
    table = solvers_table(evaluations, evaluations.solvers, taus, _TAU)
    lines += ["", "## The solvers", "", table.caption, "", table.to_markdown().rstrip()]
    return [*lines, "", *_how(results, other)]


def _how(results: Results, other: tuple[str, Evaluations] | None) -> list[str]:
    name, manifest = _name(results), results.manifest
    beside = f" --beside results/local/{other[0]}" if other else ""
    commands = [f"optcore run {_runnable(one)}" for one in (name, *([other[0]] if other else []))]
    commands.append(f"optcore report results/local/{name} --publish results/{name}{beside}")
    lines = ["## How it was made, and how to get the same", "", "```sh", *commands, "```", ""]
    lines += ["A sample of the runs again, each compared with what is published here:", ""]
    lines += ["```sh", f"optcore reproduce results/{name} --sample 40", "```", ""]
    place = manifest.get("environment") or {}
    facts = {
        "runs": f"{manifest.get('digest_rows', len(results.runs))}",
        "digest": f"`{results.digest}`",
        "started, finished": f"{manifest.get('created')}, {manifest.get('finished')}",
        "environment": ", ".join(f"{key} {value}" for key, value in place.items()),
    }
    lines += ["| | |", "|:---|:---|", *(f"| {key} | {value} |" for key, value in facts.items()), ""]
    lines += ["Counts repeat exactly in this environment, and may differ elsewhere. What to cite: `optcore cite`."]
    return lines


def _files(written: Sequence[Path]) -> list[str]:
    words = {
        STUDY: "what was asked",
        MANIFEST: "versions, machine, commit, digest",
        _RUNS: "every run: options, counts, values, hash of its history",
        _BUNDLE: "the whole store with all histories; every command opens it like the store",
        _REPORT: "the interactive report (plotly.js from its server)",
    }
    rows = [f"| [{path.name}]({path.name}) | {words[path.name]} |" for path in written if path.name in words]
    index = f"{_FIGURES}/INDEX.md"
    rows.append(f"| [{index}]({index}) | tables, and the numbers of all curves, with captions and sums |")
    return ["", "| file | what |", "|:---|:---|", *rows]


def _runnable(name: str) -> str:
    """A study that ships by its name, others by the file that is published."""
    return name if name in shipped_studies() else f"results/{name}/{STUDY}"


def _markdown(text: str) -> str:
    """Text for a line of Markdown: what it would read as emphasis or as a cell stays as it is."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
