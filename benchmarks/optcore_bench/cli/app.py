"""The application: its commands and their arguments."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from optcore_bench.cli.errors import in_one_sentence
from optcore_bench.cli.store import store_app

app = typer.Typer(
    name="optcore",
    help="Compare optimization algorithms and sources of derivatives, reproducibly.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Store = Annotated[Path, typer.Argument(help="Folder of a store, such as results/local/quick.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]


class Listable(StrEnum):
    """What can be listed."""

    SUITES = "suites"
    PROBLEMS = "problems"
    ALGORITHMS = "algorithms"
    DERIVATIVES = "derivatives"
    STUDIES = "studies"


def _print_version(value: bool) -> None:
    if value:
        from optcore._version import __version__

        typer.echo(f"optcore {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compare optimization algorithms and sources of derivatives, reproducibly."""


@app.command("run")
def run_command(
    study: Annotated[
        str, typer.Argument(help="A study that ships ('quick'), or the path of a TOML file.", show_default=False)
    ],
    *,
    store: Annotated[
        Path | None, typer.Option(help="Folder of the results. [default: results/local/NAME]", show_default=False)
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", help="Runs at the same time. [default: the cores it may use]", show_default=False),
    ] = None,
    backend: Annotated[str, typer.Option(help="'threads', or a joblib backend: loky, dask, ray.")] = "threads",
    scheduler: Annotated[
        str | None, typer.Option(help="Of dask: its address, tcp://HOST:PORT.", show_default=False)
    ] = None,
    shard: Annotated[
        str | None, typer.Option(help="K/N: only the K-th of N parts of the runs.", show_default=False)
    ] = None,
    walltime: Annotated[
        str | None,
        typer.Option(help="3:50:00, 90m or seconds: stop before that, with exit status 4.", show_default=False),
    ] = None,
    retry: Annotated[
        str | None,
        typer.Option(help="Run stored runs again that ended so: crashed,timeout,error.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run; run and write nothing.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write STORE/report.html at the end.")] = True,
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
    allow_mixed: Annotated[
        bool, typer.Option("--allow-mixed", help="Add to a store made in another environment.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Json = False,
) -> None:
    """Run a study. What its store holds already is not run again, so that the same command resumes.

    Exit status: 0 done, 2 wrong input, 3 not comparable with what is stored, 4 not finished within the walltime, 130
    and 143 after Ctrl-C and SIGTERM. After 4, 130 and 143, and after kill -9, the same command goes on.
    """
    with in_one_sentence(resume=True):
        from optcore_bench.cli.run import RunOptions, run

        run(
            RunOptions(
                study=study,
                store=store,
                jobs=jobs,
                backend=backend,
                scheduler=scheduler,
                retry=retry,
                shard=shard,
                walltime=walltime,
                dry_run=dry_run,
                report=report,
                open_report=open_report,
                allow_mixed=allow_mixed,
                quiet=quiet,
                as_json=json,
            )
        )


@app.command("report")
def report_command(
    store: Store,
    *,
    html: Annotated[
        Path | None, typer.Option(help="File to write. [default: STORE/report.html]", show_default=False)
    ] = None,
    figures: Annotated[
        str | None,
        typer.Option(help="For print: figures in these formats, tables, numbers: pdf,svg,png.", show_default=False),
    ] = None,
    width: Annotated[str, typer.Option(help="Of figures: single (8.4 cm), double (17.4 cm), or cm.")] = "single",
    out: Annotated[
        Path | None, typer.Option(help="Folder of figures. [default: STORE/figures]", show_default=False)
    ] = None,
    solvers: Annotated[
        str | None,
        typer.Option(help="Of figures: which, as in 'scipy_*,[forward]'. [default: all]", show_default=False),
    ] = None,
    publish: Annotated[
        Path | None, typer.Option(help="Write the whole study into this folder, to be published.", show_default=False)
    ] = None,
    beside: Annotated[
        Path | None, typer.Option(help="With --publish: a second store, to compare with.", show_default=False)
    ] = None,
    cdn: Annotated[
        bool, typer.Option("--cdn", help="Leave plotly.js to its server: a small file, whose figures need a network.")
    ] = False,
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
    json: Json = False,
) -> None:
    """Write the report of a store: one HTML file with profiles, convergence plots and tables.

    With --figures a folder for a paper too: figures in the width of a column, CSV of every curve, tables for LaTeX and
    Markdown, and an index with captions and sha256 sums. With --publish the study as it is published: what was asked,
    all runs, the report, figures, and a README.md of what was found and how to get the same.
    """
    with in_one_sentence():
        from optcore_bench.cli.report import FigureOptions, report

        options = FigureOptions(out, width, solvers, publish, beside)
        report(store, html, figures, options, cdn=cdn, open_report=open_report, as_json=json)


@app.command("advise")
def advise_command(
    fun: Annotated[str, typer.Argument(help="The function: 'model.py:loss' or 'package.module:loss'.")],
    *,
    start: Annotated[str, typer.Option(help="Its params, likewise: 'model.py:start'.", show_default=False)],
    jac: Annotated[str | None, typer.Option(help="Its derivative, likewise.", show_default=False)] = None,
    fun_and_jac: Annotated[
        str | None, typer.Option(help="Value and derivative in one call, likewise.", show_default=False)
    ] = None,
    bounds: Annotated[str | None, typer.Option(help="Its bounds, likewise.", show_default=False)] = None,
    seconds: Annotated[float, typer.Option(help="Time for all of it.")] = 60.0,
    cores: Annotated[
        int | None, typer.Option(help="To count with. [default: those that it may use]", show_default=False)
    ] = None,
    algorithm: Annotated[
        list[str] | None, typer.Option("--algorithm", "-a", help="Only these.", show_default=False)
    ] = None,
    derivative: Annotated[
        list[str] | None, typer.Option("--derivative", "-d", help="Only these sources.", show_default=False)
    ] = None,
    maximize: Annotated[bool, typer.Option("--maximize", help="The function is to be maximized.")] = False,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the map into this .html, .png, .svg or .pdf.", show_default=False)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Json = False,
) -> None:
    """Find the algorithm and the source of derivatives for a function of your own."""
    with in_one_sentence():
        from optcore_bench.cli.advise import AdviseOptions, run_advise

        run_advise(
            AdviseOptions(
                fun=fun,
                start=start,
                jac=jac,
                fun_and_jac=fun_and_jac,
                bounds=bounds,
                seconds=seconds,
                cores=cores,
                algorithms=algorithm or None,
                derivatives=derivative or None,
                maximize=maximize,
                figure=figure,
                quiet=quiet,
                as_json=json,
            )
        )


@app.command("show")
def show_command(
    store: Store,
    *,
    problem: Annotated[
        str | None, typer.Option("--problem", "-p", help="Only runs of this problem.", show_default=False)
    ] = None,
    algorithm: Annotated[
        str | None, typer.Option("--algorithm", "-a", help="Only runs of this algorithm.", show_default=False)
    ] = None,
    provenance: Annotated[bool, typer.Option("--provenance", help="From what, where and how it was made.")] = False,
    json: Json = False,
) -> None:
    """Show what is in a store: a summary, or single runs where a problem or an algorithm is named."""
    with in_one_sentence():
        from optcore_bench.cli.show import show, show_provenance

        if provenance:
            show_provenance(store, problem, algorithm, as_json=json)
        else:
            show(store, problem, algorithm, as_json=json)


@app.command("compare")
def compare_command(
    old: Annotated[
        str | None, typer.Argument(help="A store, a bundle, a published folder or a baseline.", show_default=False)
    ] = None,
    new: Annotated[str | None, typer.Argument(help="The same, to be judged.", show_default=False)] = None,
    *,
    robust: Annotated[
        bool, typer.Option("--robust", help="Medians over at least 5 starts, whatever the environments.")
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Write a comment for a pull request into this file.", show_default=False)
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(help="Draw the convergence of changed rows into this folder.", show_default=False),
    ] = None,
    rev: Annotated[
        str | None,
        typer.Option(help="OLD..NEW, as main..HEAD: build and run two revisions instead.", show_default=False),
    ] = None,
    study: Annotated[Path | None, typer.Option(help="Of --rev: the study, a TOML file.", show_default=False)] = None,
    repo: Annotated[Path, typer.Option(help="Of --rev: the solver's git repository.")] = Path(),
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Of --rev: runs at the same time.")] = 1,
    json: Json = False,
) -> None:
    """Say what got worse, on which problems, by how much.

    Exit status: 0 same or better, 1 worse, 2 invalid (time-outs, wrong input), 3 not comparable (other environments).
    """
    with in_one_sentence():
        from optcore_bench.cli.compare import CompareOptions, run_compare

        run_compare(CompareOptions(old, new, robust, markdown, figures, json, rev, study, repo, jobs))


@app.command("reproduce")
def reproduce_command(
    store: Annotated[
        Path, typer.Argument(help="A store, a bundle, or a published folder: results/quick.", show_default=False)
    ],
    *,
    sample: Annotated[
        str | None,
        typer.Option(
            help="So many of the runs: 40, or 10%; each solver at least once. [default: all]", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which runs are in the sample.")] = 0,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", help="Runs at the same time. [default: the cores it may use]", show_default=False),
    ] = None,
    problem: Annotated[
        list[str] | None, typer.Option("--problem", "-p", help="Only runs of this problem.", show_default=False)
    ] = None,
    algorithm: Annotated[
        list[str] | None, typer.Option("--algorithm", "-a", help="Only runs of this algorithm.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of a new store that keeps the new runs.", show_default=False)
    ] = None,
    same_kernels: Annotated[
        bool, typer.Option("--same-kernels", help="Compute by the code for the processor of there, where this one can.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Json = False,
) -> None:
    """Run a store again from its own study, and say of each run whether it came out the same.

    Exit status: 0 all that can be is identical, 1 not identical, 2 wrong input or nothing that can be run here, 3 not
    identical, in another environment.
    """
    with in_one_sentence():
        from optcore_bench.cli.reproduce import ReproduceOptions, reproduce

        reproduce(
            ReproduceOptions(
                store=store,
                sample=sample,
                seed=seed,
                jobs=jobs,
                problems=problem or [],
                algorithms=algorithm or [],
                out=out,
                quiet=quiet,
                as_json=json,
                same_kernels=same_kernels,
            )
        )


@app.command("findings")
def findings_command(
    store: Store,
    *,
    tau: Annotated[
        str | None, typer.Option(help="Accuracies, as 1e-3,1e-5. [default: those of the study]", show_default=False)
    ] = None,
    compared: Annotated[
        bool, typer.Option("--compared", help="f_L is the best value of the compared runs, not the best known one.")
    ] = False,
    figures: Annotated[
        Path | None,
        typer.Option(help="Write every figure, as HTML and CSV, into this folder.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Say in sentences what the results of a store show, how sure that is, and what must not be concluded."""
    with in_one_sentence():
        from optcore_bench.cli.findings import show_findings

        show_findings(store, tau, figures, compared=compared, as_json=json)


@app.command("cite")
def cite_command(
    store: Store,
    *,
    bib: Annotated[
        Path | None, typer.Option(help="File for the references, such as study.bib.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Say what to cite for a study: a paragraph on its methods for LaTeX, and BibTeX of what it used."""
    with in_one_sentence():
        from optcore_bench.cli.cite import cite

        cite(store, bib, as_json=json)


@app.command("list")
def list_command(
    what: Annotated[Listable, typer.Argument(help="What to list.", show_default=False)],
    name: Annotated[
        str | None, typer.Argument(help="One algorithm, with all details.", metavar="[NAME]", show_default=False)
    ] = None,
    *,
    details: Annotated[
        bool, typer.Option("--details", help="Of algorithms: options, their meaning, references.")
    ] = False,
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite", "-s", help="Of problems: those of a suite, FILE.py:SUITE or STUDY.toml.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List what there is to put into a study."""
    with in_one_sentence():
        from optcore.errors import InvalidInputError
        from optcore_bench.cli.catalog import show_algorithms, show_catalog

        if suite is not None and what is not Listable.PROBLEMS:
            raise InvalidInputError(f"--suite goes with `optcore list problems`, not with {what.value}")
        if not (details or name):
            show_catalog(what.value, suite, as_json=json)
        elif what is Listable.ALGORITHMS:
            show_algorithms(name, as_json=json)
        else:
            raise InvalidInputError(f"only algorithms have details; `optcore list {what.value}` shows all there is")


@app.command("check-problems")
def check_problems_command(
    problems: Annotated[
        list[str] | None,
        typer.Argument(
            help="Suites, problems as 'suite/problem', FILE.py:SUITE, or STUDY.toml. [default: all suites]",
            show_default=False,
        ),
    ] = None,
    *,
    jax: Annotated[bool, typer.Option("--jax/--no-jax", help="Compare derivatives with JAX's too.")] = True,
    store: Annotated[
        list[Path] | None,
        typer.Option("--store", help="Results whose lowest values f_opt must not be above.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Check problems: values, derivatives, patterns and optima. Exit status 1 if something is wrong."""
    with in_one_sentence():
        from optcore_bench.cli.problems import check_problems

        check_problems(problems or [], store or [], jax=jax, as_json=json)


@app.command("show-problem")
def show_problem_command(
    problem: Annotated[
        str, typer.Argument(help="'suite/problem', as more_wild/meyer, or FILE.py:SUITE/PROBLEM.", show_default=False)
    ],
    *,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw its landscape into this .html, .png, .svg or .pdf.", show_default=False),
    ] = None,
    open_plot: Annotated[bool, typer.Option("--open", help="Open the plot in a browser.")] = False,
    json: Json = False,
) -> None:
    """Show what a problem is, its source, its optima, and a plot of it."""
    with in_one_sentence():
        from optcore_bench.cli.problems import show_problem

        show_problem(problem, plot, open_plot=open_plot, as_json=json)


@app.command("bench-derivatives")
def bench_derivatives_command(
    folder: Annotated[Path, typer.Option("--out", help="Folder of the page.")] = Path("results/local/derivatives"),
    *,
    timings: Annotated[
        bool, typer.Option("--timings/--no-timings", help="Measure workers too: two minutes on a quiet machine.")
    ] = True,
    json: Json = False,
) -> None:
    """Measure numerical derivatives: accuracy, cost, workers; write a page that says which method to take when."""
    with in_one_sentence():
        from optcore_bench.cli.derivatives import bench_derivatives

        bench_derivatives(folder, timings=timings, as_json=json)


@app.command("doctor")
def doctor_command(*, json: Json = False) -> None:
    """Say what is installed, what is missing, and what that would unlock."""
    with in_one_sentence():
        from optcore_bench.cli.doctor import doctor

        doctor(as_json=json)


app.add_typer(store_app, name="store")

#: What help shows first.
_FIRST = ("run", "report", "compare", "advise", "doctor")
app.registered_commands.sort(key=lambda command: (*_FIRST, command.name).index(command.name))


def main() -> None:
    """Entry point of the command `optcore`."""
    app()
