"""A folder that goes into a paper: figures, the numbers of their curves, tables, and an index with sums."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from optcore._version import __version__
from optcore.errors import InvalidInputError, unknown_name
from optcore_bench import toml
from optcore_bench.drawing import draw
from optcore_bench.evaluations import Evaluations
from optcore_bench.publish.chosen import choose_solvers
from optcore_bench.publish.figures import PaperFigure, publication_figures
from optcore_bench.publish.layout import width_in_cm
from optcore_bench.publish.stamp import DPI, stamped
from optcore_bench.publish.tables import PaperTable, publication_tables
from optcore_bench.store import Results
from optcore_bench.store.files import explained, file_sum, replace_file, replace_text
from optcore_bench.study import taus_of

__all__ = ["FORMATS", "INDEX", "SUMS", "Published", "check_formats", "origin_of", "publish_figures"]

FORMATS = ("pdf", "svg", "png")
INDEX, SUMS = "INDEX.md", "SHA256SUMS"
_TAU = 1e-5


@dataclass(frozen=True)
class Published:
    """What was written.

    Attributes:
        folder: where.
        files: all files, in the order of the index.
    """

    folder: Path
    files: tuple[Path, ...]


def publish_figures(
    store: Results | Evaluations | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    formats: str | Iterable[str] = FORMATS,
    width: str | float = "single",
    solvers: str | Iterable[str] | None = None,
    tau: float = _TAU,
    only: Collection[str] | None = None,
) -> Published:
    """Write the figures and tables of a store into a folder that goes into a paper.

    Tables (`.csv`, `.tex` with the rules of booktabs, `.md`) and the numbers of every curve (`.csv`) are the same bytes
    whenever they are written from the same store. Each file says which study and which data it is of; `INDEX.md` has
    captions and sums, `SHA256SUMS` is for `sha256sum -c`. What an earlier call wrote into the folder is replaced;
    other files are left alone.

    Args:
        store: a store, its folder, or `Evaluations` read from one.
        folder: where to write; made where missing.
        formats: of figures: "pdf", "svg", "png"; none for numbers and tables only.
        width: "single" (8.4 cm), "double" (17.4 cm), or a number of cm.
        solvers: patterns of labels, see `choose_solvers`; all by default. More than eight are not drawn together but
            by algorithm and by derivative strategy.
        tau: accuracy of the convergence test for profiles and costs.
        only: names of the figures that are drawn, such as "data_profile"; all by default. Numbers come of all.

    Returns:
        The files.

    Raises:
        InvalidInputError, UnknownNameError: no run applies; or an argument that can't be.
        MissingLibraryError: kaleido, or a browser for it, isn't installed; everything but the figures was written.

    >>> import tempfile
    >>> import optcore_bench as ob
    >>> study = ob.Study("two", problems="more_wild/rosenbrock", algorithms=["scipy_lbfgsb", "scipy_bfgs"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = ob.run_study(study, store=f"{folder}/store", n_jobs=1)
    ...     published = publish_figures(results, f"{folder}/paper", formats=[])
    >>> [path.name for path in published.files][:3]
    ['solvers.csv', 'solvers.md', 'solvers.tex']
    """
    kinds, width_cm = check_formats(formats), width_in_cm(width)
    evaluations = Evaluations.read(store if isinstance(store, (Results, Evaluations)) else Results(store))
    results = evaluations.source
    if not isinstance(results, Results):
        raise InvalidInputError(
            "files of a publication say which store they are of; these evaluations were not read from one"
        )
    if not evaluations.applicable.any():
        raise InvalidInputError("there is nothing to publish: the store has no finished run that applies")
    chosen = choose_solvers(solvers, evaluations.solvers)
    tables = publication_tables(evaluations, chosen, taus_of(results.study), tau)
    figures = list(publication_figures(evaluations, chosen, tau))
    writer = _Writer(Path(folder).expanduser(), origin_of(results))
    with explained(writer.folder, "what was written before is whole"):
        writer.folder.mkdir(parents=True, exist_ok=True)
        writer.tables(tables)
        writer.curves(figures)
        writer.index()
        if kinds:
            writer.pictures([figure for figure in figures if only is None or figure.name in only], kinds, width_cm)
            writer.index()
    return Published(writer.folder, (*writer.written, writer.folder / INDEX, writer.folder / SUMS))


def check_formats(formats: str | Iterable[str]) -> list[str]:
    """Formats of figures by name, each once.

    Raises:
        UnknownNameError: one that there isn't.
    """
    names = formats.split(",") if isinstance(formats, str) else list(formats)
    chosen = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    for name in chosen:
        if name not in FORMATS:
            raise unknown_name("format of figures", name, FORMATS)
    return chosen


def origin_of(results: Results) -> dict[str, str]:
    """What every file says: version, study, and digests of both study and data."""
    text = toml.dumps(results.study)
    listed = results.manifest.get("files", {}).get("study.toml")
    return {
        "made by": f"optcore {__version__}",
        "study": str(results.study.get("name") or "of others"),
        "sha256 of study.toml": str(listed or hashlib.sha256(text.encode()).hexdigest()),
        "digest of the store": results.digest,
    }


class _Writer:
    """Writes files into a folder and keeps the index of them."""

    def __init__(self, folder: Path, origin: dict[str, str]) -> None:
        self.folder, self.origin = folder, origin
        self.written: list[Path] = []
        self._captions: dict[str, str] = {}
        self._earlier = _listed(folder)

    def tables(self, tables: Sequence[PaperTable]) -> None:
        for table in tables:
            self._text(f"{table.name}.csv", self._commented("#", table.to_csv()), table.caption)
            if table.columns:
                self._text(f"{table.name}.md", table.to_markdown(), table.caption)
                self._text(f"{table.name}.tex", self._commented("%", table.to_latex()), table.caption)

    def curves(self, figures: Sequence[PaperFigure]) -> None:
        for figure in figures:
            self._text(f"{figure.name}.csv", self._commented("#", figure.to_csv()), figure.caption)

    def pictures(self, figures: Sequence[PaperFigure], kinds: Sequence[str], width_cm: float) -> None:
        with tempfile.TemporaryDirectory() as drawn:
            paths = [Path(drawn) / f"{figure.name}.{kind}" for figure in figures for kind in kinds]
            _draw([figure.figure(width_cm) for figure in figures for _ in kinds], paths)
            for path in paths:
                data = f"{path.stem}.csv"
                origin = self.origin | {f"sha256 of {data}": file_sum(self.folder / data)}
                self._bytes(path.name, stamped(path.read_bytes(), path.suffix[1:], origin, width_cm))
                self._captions[path.name] = self._captions[data]

    def index(self) -> None:
        """Write the index and the sums, and remove what an earlier call wrote and this one didn't."""
        self.written.sort(key=lambda path: (list(self._captions).index(f"{path.stem}.csv"), path.suffix))
        sums = {path.name: file_sum(path) for path in self.written}
        replace_text(self.folder / INDEX, "".join(self._index(sums)))
        sums[INDEX] = file_sum(self.folder / INDEX)
        replace_text(self.folder / SUMS, "".join(f"{value}  {name}\n" for name, value in sorted(sums.items())))
        for name, value in self._earlier.items():
            path = self.folder / name
            if name not in sums and path.is_file() and file_sum(path) == value:
                path.unlink()

    def _index(self, sums: dict[str, str]) -> Iterator[str]:
        yield f"# {self.origin['study']}\n\n"
        yield from (f"- {key}: {value}\n" for key, value in self.origin.items())
        yield "\n| file | what it shows |\n|---|---|\n"
        for stem, paths in groupby(self.written, key=lambda path: path.stem):
            links = " ".join(f"[{path.suffix[1:]}]({path.name})" for path in paths)
            yield f"| {stem} {links} | {self._captions[f'{stem}.csv']} |\n"
        yield "\n| file | sha256 |\n|---|---|\n"
        yield from (f"| {name} | `{value}` |\n" for name, value in sums.items())

    def _commented(self, mark: str, text: str) -> str:
        return "".join(f"{mark} {key}: {value}\n" for key, value in self.origin.items()) + text

    def _text(self, name: str, text: str, caption: str) -> None:
        self._captions[name] = caption
        self._bytes(name, text.encode())

    def _bytes(self, name: str, data: bytes) -> None:
        path = self.folder / name
        replace_file(path, lambda temporary: _write(temporary, data))
        self.written.append(path)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _listed(folder: Path) -> dict[str, str]:
    """Names and sums of what an earlier call wrote into this folder itself."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    pairs = (line.partition("  ") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: value for value, _, name in pairs if name and Path(name).name == name}


def _draw(figures: Sequence[Any], paths: Sequence[Path]) -> None:
    options = {name: [figure.layout[name] for figure in figures] for name in ("width", "height")}
    options["scale"] = [DPI / 96 if path.suffix == ".png" else 1 for path in paths]
    draw(figures, paths, options, "numbers and tables were written")
