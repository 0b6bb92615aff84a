"""`optcore store check|merge|export|import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from optcore_bench.cli.errors import in_one_sentence
from optcore_bench.cli.tables import json_text
from optcore_bench.words import count

__all__ = ["store_app"]

store_app = typer.Typer(
    help="Check, merge, export and import stores.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
_PROBLEMS = 1


@store_app.command("check")
def check_command(
    store: Annotated[Path, typer.Argument(help="Folder of a store, or a bundle.", show_default=False)],
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what the rest of the store proves; leave everything else.")
    ] = False,
    json: Json = False,
) -> None:
    """Find damaged, changed, missing and foreign files. Exit status 1 if something is wrong."""
    with in_one_sentence():
        _check(store, repair=repair, as_json=json)


def _check(store: Path, *, repair: bool, as_json: bool) -> None:
    import tempfile

    from optcore.errors import InvalidInputError
    from optcore_bench.store import check
    from optcore_bench.store import repair as mend
    from optcore_bench.store.export import unpack_into

    store = store.expanduser().absolute()
    if store.is_file():
        if repair:
            raise InvalidInputError(
                f"'{store}' is one file and can't be repaired; unpack it with: optcore store import {store.name} STORE"
            )
        with tempfile.TemporaryDirectory() as folder:
            unpack_into(store, Path(folder))
            _report(store, Path(folder), [], check(folder), as_json=as_json)
    elif repair:
        done, left = mend(store)
        _report(store, store, done, left, as_json=as_json)
    else:
        _report(store, store, [], check(store), as_json=as_json)


def _report(store: Path, root: Path, repaired: Any, left: Any, *, as_json: bool) -> None:
    rows = [
        {
            "file": finding.path.relative_to(root).as_posix(),
            "problem": finding.kind,
            "message": finding.message,
            "repaired": finding in repaired,
            "repairable": finding.fix is not None,
        }
        for finding in (*repaired, *left)
    ]
    if as_json:
        typer.echo(json_text({"store": str(store), "sound": not left, "findings": rows}))
    else:
        for row in rows:
            word = "repaired" if row["repaired"] else row["problem"]
            typer.echo(f"{word}: {row['message']}")
        typer.echo(f"{store}: {_verdict(rows, len(left))}")
    if left:
        raise typer.Exit(_PROBLEMS)


def _verdict(rows: list[dict[str, Any]], left: int) -> str:
    if not rows:
        return "sound"
    repaired = len(rows) - left
    words = [f"{count(repaired, 'problem')} repaired"] if repaired else []
    if left:
        words.append(count(left, "problem"))
    if able := sum(row["repairable"] and not row["repaired"] for row in rows):
        words.append(f"--repair mends {able} of them")
    return ", ".join(words) + ("" if left else "; sound now")


@store_app.command("merge")
def merge_command(
    out: Annotated[Path, typer.Argument(help="Folder of the new store.", show_default=False)],
    stores: Annotated[
        list[Path],
        typer.Argument(metavar="STORE...", help="Stores of one study, which are only read.", show_default=False),
    ],
    *,
    allow_mixed: Annotated[
        bool, typer.Option("--allow-mixed", help="Take stores made in different environments or by different code.")
    ] = False,
    json: Json = False,
) -> None:
    """Make one store of shards or parts of a study. Exit status 3 if they can't stand together."""
    with in_one_sentence():
        from optcore_bench.store.merge import merge

        merged = merge(out, stores, allow_mixed=allow_mixed)
        if json:
            typer.echo(json_text({**merged._asdict(), "path": str(merged.path)}))
            return
        twice = f", {merged.repeated} of them in more than one store" if merged.repeated else ""
        state = "" if merged.finished else "; not finished, since not all of the stores are"
        typer.echo(f"{count(merged.runs, 'run')}{twice}{state}")
        if merged.note:
            typer.echo(f"warning: {merged.note}")
        typer.echo(f"digest {merged.digest}")
        typer.echo(f"store {merged.path}")


@store_app.command("export")
def export_command(
    store: Annotated[Path, typer.Argument(help="Folder of a store.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="FILE.zip for a bundle, or a folder for CSV.", show_default=False)],
    *,
    history: Annotated[
        bool,
        typer.Option(
            "--history", help="CSV of every evaluation and its clock too: large, 300 bytes for each where n = 10."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Write a store as CSV, or as one zip file with sha256 sums that every command opens like a store."""
    with in_one_sentence():
        from optcore.errors import InvalidInputError
        from optcore_bench.store.export import export_bundle, export_csv

        if out.suffix.lower() != ".zip":
            files = export_csv(store, out, history=history)
        elif history:
            raise InvalidInputError(f"--history goes with a folder of CSV; the bundle '{out}' holds all tables anyway")
        else:
            files = [export_bundle(store, out)]
        if json:
            typer.echo(json_text({"files": [str(file) for file in files]}))
        else:
            for file in files:
                typer.echo(str(file))


@store_app.command("import")
def import_command(
    file: Annotated[
        Path, typer.Argument(help="A bundle, or histories of others as .csv or .parquet.", show_default=False)
    ],
    store: Annotated[Path, typer.Argument(help="Folder of the new store.", show_default=False)],
    *,
    json: Json = False,
) -> None:
    """Make a store of a bundle, or of histories that other programs recorded, one row an evaluation."""
    with in_one_sentence():
        from optcore_bench.store import Results

        path = _import(file.expanduser(), store)
        results = Results(path)
        if json:
            typer.echo(json_text({"store": str(path), "runs": len(results.runs), "digest": results.digest}))
        else:
            typer.echo(count(len(results.runs), "run"))
            typer.echo(f"digest {results.digest}")
            typer.echo(f"store {path}")


def _import(file: Path, store: Path) -> Path:
    from optcore.errors import InvalidInputError
    from optcore_bench.store.export import unpack
    from optcore_bench.store.frame import read_histories
    from optcore_bench.store.results import Results

    if not file.is_file():
        raise InvalidInputError(f"there is no file '{file}'")
    if file.suffix.lower() == ".zip":
        return unpack(file, store)
    return Results.from_frame(read_histories(file)).save(store)
