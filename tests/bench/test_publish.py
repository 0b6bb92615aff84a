"""A folder for a paper: same store, same bytes; sums that hold; pictures in their width, with their origin."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import optcore_bench.publish.folder as folder_module
from optcore.errors import InvalidInputError, MissingLibraryError, UnknownNameError
from optcore_bench import Results, Study, cost_table, run_study
from optcore_bench.cli.doctor import find_browser
from optcore_bench.costs import summary_table
from optcore_bench.evaluations import Evaluations
from optcore_bench.figures import data_profile_plot
from optcore_bench.profiles import data_profile, ecdf, performance_profile
from optcore_bench.publish import choose_solvers, for_print, publication_figures, publish_figures, subsets, worth_table
from optcore_bench.publish.chosen import MOST_LINES, common_part
from optcore_bench.publish.layout import pixels, width_in_cm
from optcore_bench.publish.stamp import read_stamp, stamped
from optcore_bench.publish.tables import Column, PaperTable
from tests.bench.fake_results import make_results, run, study_results

WORDS = ("solver", "problem", "derivative", "exact")
STUDY = Study(
    "paper_study",
    problems=["more_wild/rosenbrock", "more_wild/bard", "more_wild/helical_valley"],
    algorithms=["scipy_lbfgsb", "scipy_neldermead"],
    derivatives=["analytic", "forward"],
    budget={"max_gradients": 30},
)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return run_study(STUDY, store=tmp_path_factory.mktemp("publish") / "store", n_jobs=1)


@pytest.fixture(scope="module")
def paper(results, tmp_path_factory) -> Path:
    return publish_figures(results, tmp_path_factory.mktemp("paper") / "deep" / "paper", formats=[]).folder


def read_csv(path: Path) -> pd.DataFrame:
    """Numbers exactly as written, which pandas' own reader doesn't promise."""
    table = pd.read_csv(path, comment="#", dtype=str, keep_default_na=False)
    return table.apply(lambda column: column if column.name in WORDS else column.replace("", "nan").map(float))


# numbers and tables ---------------------------------------------------------------------------------------------------


def test_the_same_store_gives_the_same_bytes_also_from_a_copy(results, paper, tmp_path):
    copy = shutil.copytree(results.path, tmp_path / "copy")
    again = publish_figures(str(copy), tmp_path / "again", formats=[]).folder
    names = sorted(path.name for path in paper.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    assert all((paper / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_sha256sum_accepts_the_sums_and_finds_a_change(paper, tmp_path):
    copy = shutil.copytree(paper, tmp_path / "copy")
    check = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=copy, check=False, capture_output=True).returncode == 0
    listed = {line.split("  ")[1] for line in (copy / "SHA256SUMS").read_text().splitlines()}
    assert listed == {path.name for path in copy.iterdir()} - {"SHA256SUMS"}
    with (copy / "costs.csv").open("a") as file:
        file.write("x\n")
    assert subprocess.run(check, cwd=copy, check=False, capture_output=True).returncode == 1


def test_every_csv_names_study_and_store_and_holds_the_exact_numbers(results, paper):
    for path in paper.glob("*.csv"):
        head = path.read_text().split("\n")[:4]
        assert head[1] == "# study: paper_study"
        assert head[2] == f"# sha256 of study.toml: {results.manifest['files']['study.toml']}"
        assert head[3] == f"# digest of the store: {results.digest}"
    costs = cost_table(results)
    found = read_csv(paper / "costs.csv")
    assert list(found["problem"]) == list(costs.index)
    np.testing.assert_array_equal(found[list(costs.attrs["solvers"])], costs[list(costs.attrs["solvers"])])
    solvers = read_csv(paper / "solvers.csv").set_index("solver")
    summary = summary_table(results)
    for tau in ("1e-1", "1e-3", "1e-5", "1e-7", "1e-10"):
        assert solvers[f"solved_{tau}"].to_dict() == summary[f"solved_{tau}"].to_dict()
    by_n = cost_table(results, jac_cost="n").replace(np.inf, np.nan).median()
    np.testing.assert_array_equal(solvers["median_n"], by_n[solvers.index])


def test_curves_are_those_of_the_profiles(results, paper):
    costs = cost_table(results)[list(cost_table(results).attrs["solvers"])]
    n = pd.Series({row: int(k) for row, k in costs.attrs["n"].items()})
    pd.testing.assert_frame_equal(read_csv(paper / "data_profile.csv"), data_profile(costs, n), check_dtype=False)
    performance = performance_profile(costs)
    pd.testing.assert_frame_equal(read_csv(paper / "performance_profile.csv"), performance, check_dtype=False)


def test_a_latex_table_has_as_many_cells_in_each_row_and_no_bare_special_character(paper):
    for path in paper.glob("*.tex"):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("%")]
        assert [line for line in lines if "rule" in line and "cmid" not in line] == [
            "\\toprule", "\\midrule", "\\bottomrule"
        ]  # fmt: skip
        width = len(re.search(r"tabular}{([lr]+)}", lines[0])[1])
        for line in lines:
            if line.endswith("\\\\"):
                spans = [int(n) for n in re.findall(r"\\multicolumn{(\d+)}", line)]
                assert line.count(" & ") + 1 + sum(n - 1 for n in spans) == width
            assert not re.search(r"(?<!\\)[_#%]", line)


def test_markdown_and_latex_say_the_same_numbers(paper):
    for name in ("solvers", "derivatives"):
        markdown = [line.strip("| ").split(" | ") for line in (paper / f"{name}.md").read_text().splitlines()[2:]]
        body = (paper / f"{name}.tex").read_text().split("\\midrule\n")[1].split("\\bottomrule")[0]
        latex = [line.removesuffix(" \\\\").split(" & ") for line in body.splitlines()]
        plain = [[re.sub(r"\$10\^{-(\d+)}\$", r"1e-\1", c).replace("\\_", "_").replace("--", "-") for c in row]
                 for row in latex]  # fmt: skip
        assert plain == markdown


def test_cells_of_tables_escape_what_their_language_reads():
    frame = pd.DataFrame({"name": ["a_b|50% & ~^{}\\"], "cost": [np.nan], "big": [np.inf], "many": [12345.6]})
    columns = (Column("name", "name"), Column("cost", "c"), Column("big", "b"), Column("many", "m", "", 3))
    table = PaperTable("t", "", frame, columns)
    assert table.to_latex().splitlines()[4] == (
        r"a\_b\textbar{}50\% \& \textasciitilde{}\textasciicircum{}\{\}\textbackslash{} & -- & inf & 12346 \\"
    )
    assert table.to_markdown().splitlines()[2] == r"| a_b\|50% & ~^{}\ | - | inf | 12346 |"


def test_names_with_markup_are_shown_as_they_are_in_latex_and_markdown():
    frame = pd.DataFrame({"name": ["<b>x</b> $y_1$", "[mine] *", "two\nlines `c`"]})
    table = PaperTable("t", "", frame, (Column("name", "name"),))
    # A row that begins with a bracket would be the option of what ends the row before.
    assert table.to_latex().splitlines()[4:7] == [
        r"\textless{}b\textgreater{}x\textless{}/b\textgreater{} \$y\_1\$ \\",
        r"{}[mine] * \\",
        r"two lines `c` \\",
    ]
    assert table.to_markdown().splitlines()[2:] == [
        r"| \<b>x\</b> \$y_1\$ |",
        r"| [mine] \* |",
        r"| two lines \`c\` |",
    ]


# what a derivative is worth -------------------------------------------------------------------------------------------


def test_worth_by_hand():
    # n = 2: a gradient by forward differences is two calls more. Solved at f <= 1e-5 from 1: the last call of each.
    numdiff = {"values": [1, 1, 1, 0.1, 0.1, 0.1, 0], "tasks": ["fun", "numdiff", "numdiff"] * 2 + ["fun"]}
    exact = {"values": [1, np.nan, 0.1, np.nan, 0], "tasks": ["fun", "jac", "fun", "jac", "fun"]}
    lost = {"values": [1, 1, 1], "tasks": ["fun", "numdiff", "numdiff"]}
    results = make_results(
        run("bfgs analytic", "p", **exact), run("bfgs forward", "p", **numdiff),
        run("bfgs analytic", "q", **exact), run("bfgs forward", "q", **lost),
        run("simplex none", "p", [1, 0]), run("simplex none", "q", [1, 0]),
    )  # fmt: skip
    (row,) = worth_table(results, taus=[1e-5]).to_dict("records")
    counts = {name: row[name] for name in ("derivative", "pairs", "exact_solved", "solved", "lost", "gained")}
    assert counts == {"derivative": "forward", "pairs": 2, "exact_solved": 2, "solved": 1, "lost": 1, "gained": 0}
    assert row["ratio_0"] == 7 / 3
    assert row["ratio_n"] == 7 / (3 + 2 * 2)
    # Two jacobians make up for four evaluations at a price of 2, that is of n.
    assert row["break_even_n"] == 1.0


def test_at_its_break_even_price_a_strategy_costs_the_same():
    results = study_results(n_problems=10, algorithms=("scipy_bfgs",), derivatives=("analytic", "forward"))
    evaluations = Evaluations.read(results)
    for problem in cost_table(evaluations).index[:5]:
        rows = results.runs[(results.runs["suite"] + "/" + results.runs["problem"]) == problem]
        one = make_one(results, rows)
        (row,) = worth_table(one, taus=[1e-1]).to_dict("records")
        if np.isfinite(row["break_even_n"]):
            n = float(rows["n"].iloc[0])
            costs = cost_table(one, 1e-1, jac_cost=row["break_even_n"] * n)
            assert costs["scipy_bfgs [forward]"].item() == pytest.approx(costs["scipy_bfgs [analytic]"].item())


def make_one(results, rows):
    history = results.rows[results.rows["run_id"].isin(rows["run_id"])]
    return type(results)(rows.reset_index(drop=True), history.reset_index(drop=True))


def test_without_exact_derivatives_there_is_nothing_to_compare_with():
    results = study_results(n_problems=2, derivatives=("forward", "central"))
    assert worth_table(results).empty


# what is drawn together -----------------------------------------------------------------------------------------------

KNOWN = ["scipy_bfgs [jax]", "scipy_bfgs [forward]", "nlopt_bobyqa [none]", "theirs"]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (None, KNOWN),
        ("scipy_bfgs", KNOWN[:2]),
        ("[forward]", KNOWN[1:2]),
        ("theirs, scipy_bfgs [jax]", ["scipy_bfgs [jax]", "theirs"]),
        (["*b[fo]*", "nlopt*"], KNOWN[2:3]),
        ("*", KNOWN),
    ],
)
def test_patterns_name_solvers_algorithms_and_strategies(patterns, found):
    if patterns == ["*b[fo]*", "nlopt*"]:  # brackets are no pattern
        with pytest.raises(UnknownNameError):
            choose_solvers(patterns, KNOWN)
        patterns = "nlopt*"
    assert choose_solvers(patterns, KNOWN) == tuple(found)


def test_a_pattern_that_fits_nothing_suggests_the_nearest_name():
    with pytest.raises(UnknownNameError, match="did you mean 'scipy_bfgs'"):
        choose_solvers("scipy_bgfs", KNOWN)
    with pytest.raises(InvalidInputError, match="no pattern"):
        choose_solvers(" , ", KNOWN)


def test_many_solvers_are_drawn_by_algorithm_and_by_strategy_and_each_is_drawn():
    results = study_results(n_problems=3)
    evaluations = Evaluations.read(results)
    groups = subsets(evaluations.solvers)
    assert len(evaluations.solvers) > MOST_LINES
    assert {"scipy_lbfgsb", "forward"} <= {group.name for group in groups}
    assert all(len({s.split(" [")[i] for s in g.solvers}) == 1 for g, i in zip(groups, [0] * 5 + [1] * 4, strict=True))
    figures = list(publication_figures(evaluations, evaluations.solvers, 1e-5))
    assert len({figure.name for figure in figures}) == len(figures) == 2 * len(groups)
    one = next(figure for figure in figures if figure.name == "performance_profile-forward")
    # Computed among those that are drawn: the best of them has ratio 1, whatever others can.
    forward = [s for s in evaluations.solvers if s.endswith("[forward]")]
    pd.testing.assert_frame_equal(one.plot.curves, performance_profile(cost_table(results)[forward]))


def test_groups_have_files_of_their_own_also_where_names_differ_by_what_files_cannot_have():
    groups = subsets([f"{name} [{d}]" for name in ("a b", "a/b", "A-b") for d in ("jax", "forward", "central")])
    assert [group.name for group in groups] == ["a-b", "a-b-2", "A-b-3", "jax", "forward", "central"]


def test_many_solvers_that_name_no_derivatives_are_one_group():
    solvers = [f"s{k}" for k in range(MOST_LINES + 1)]
    assert subsets(solvers) == [("", "9 solvers", tuple(solvers))]
    assert subsets([*solvers, "a [jax]", "a [forward]"])[-1].words == "9 solvers that name no derivatives"


def test_legends_say_once_what_all_have_in_common():
    assert common_part(["a [x]", "b [x]"]) == ("derivatives: x", {"a [x]": "a", "b [x]": "b"})
    assert common_part(["a [x]", "b [y]"])[0] == ""
    assert common_part(["a [x]"]) == ("", {"a [x]": "a [x]"})
    assert common_part(["a", "b"]) == ("", {"a": "a", "b": "b"})


# layout ---------------------------------------------------------------------------------------------------------------


def test_widths_are_named_or_numbers():
    assert (width_in_cm("single"), width_in_cm("double"), width_in_cm(12)) == (8.4, 17.4, 12.0)
    with pytest.raises(UnknownNameError, match="did you mean 'single'"):
        width_in_cm("singel")
    for bad in ("1", "1000", "nan"):
        with pytest.raises(InvalidInputError, match="between 4 and 60 cm"):
            width_in_cm(bad)


@pytest.mark.parametrize("width", [8.4, 17.4])
def test_type_is_large_enough_and_everything_has_its_place(width):
    costs = cost_table(study_results(n_problems=4))
    figure = for_print(data_profile_plot(costs).figure(), width)
    layout = figure.layout
    assert layout.width == pixels(width)
    assert not layout.title.text
    sizes = [layout.font.size, layout.legend.font.size, layout.xaxis.title.font.size, layout.yaxis.title.font.size]
    assert min(sizes) * 72 / 96 > 6.99  # points
    plot_height = layout.height - layout.margin.t - layout.margin.b
    assert plot_height * 2.54 / 96 > 4
    # The legend is below the axis with its title, and ends above the lower edge.
    below = -layout.legend.y * plot_height
    lines = 1 + layout.xaxis.title.text.count("<br>")
    assert below >= 12 + lines * layout.xaxis.title.font.size
    columns = (layout.width - 9) // (layout.legend.entrywidth + 45)
    assert layout.margin.t + plot_height + below + 19 * np.ceil(len(figure.data) / columns) <= layout.height
    assert len(figure.data) == costs.shape[1]
    assert isinstance(figure.update_layout(height=300), go.Figure)  # still the user's to change


def test_long_titles_are_broken_but_not_within_formulas():
    costs = cost_table(study_results(n_problems=4))
    figure = for_print(data_profile_plot(costs).figure(), 8.4)
    assert figure.layout.yaxis.title.text.split("<br>")[-1].endswith("tau\u00a0=\u00a01e-5")


# pictures -------------------------------------------------------------------------------------------------------------

ORIGIN = {"study": "a <b> & c", "digest of the store": "0" * 64}
PDF = b"""%PDF-1.4
1 0 obj
<</Type /Catalog /Pages 2 0 R>>
endobj
2 0 obj
<</Type /Pages /Kids [3 0 R] /Count 1>>
endobj
3 0 obj
<</Type /Page /Parent 2 0 R /MediaBox [0 0 238 200]>>
endobj
4 0 obj
<</CreationDate (D:20261129080102+00'00')>>
endobj
xref
0 5
0000000000 65535 f 
0000000009 00000 n 
0000000057 00000 n 
0000000113 00000 n 
0000000183 00000 n 
trailer
<</Size 5 /Root 1 0 R /Info 4 0 R>>
startxref
243
%%EOF
"""  # noqa: W291  entries of the table of a PDF are 20 bytes long


def test_a_pdf_gets_its_origin_as_document_information_and_loses_its_date():
    data = stamped(PDF, "pdf", ORIGIN, 8.4)
    assert read_stamp(data) == ORIGIN
    assert b"20261129" not in data
    # The table says where the new object is, and the old table is found from the new one.
    (start,) = re.findall(rb"xref\n5 1\n(\d{10})", data)
    assert data[int(start) :].startswith(b"5 0 obj")
    assert data.rindex(b"xref\n5 1") == int(re.findall(rb"startxref\n(\d+)", data)[-1])
    assert b"/Prev 243" in data
    pypdf = pytest.importorskip("pypdf")
    import io

    read = pypdf.PdfReader(io.BytesIO(data), strict=True)
    assert read.metadata["/Keywords"].startswith("study: a <b> & c; digest of the store: 0000")
    assert len(read.pages) == 1


def test_an_svg_gets_its_origin_and_its_width_in_cm():
    drawn = (
        b'<svg class="x" xmlns="http://www.w3.org/2000/svg" width="317" height="200" viewBox="0 0 317 200"><g/></svg>'
    )
    data = stamped(drawn, "svg", ORIGIN, 8.4)
    assert read_stamp(data) == ORIGIN
    root = ET.fromstring(data)
    assert root.attrib["width"] == "8.4cm"
    assert float(root.attrib["height"].removesuffix("cm")) == pytest.approx(8.4 * 200 / 317, abs=1e-3)
    assert root[0].text.startswith("study: a <b> & c; digest")


def test_without_kaleido_or_a_browser_the_numbers_are_there_and_the_message_says_how_to_get_it(
    results, tmp_path, monkeypatch
):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-chrome"))  # where kaleido looks first, and then no further
    with pytest.raises(MissingLibraryError, match=r"apt install chromium.*numbers and tables were written"):
        publish_figures(results, tmp_path / "paper", formats="pdf")
    names = {path.name for path in (tmp_path / "paper").iterdir()}
    assert {"data_profile.csv", "solvers.tex", "INDEX.md", "SHA256SUMS"} <= names
    monkeypatch.setitem(__import__("sys").modules, "kaleido", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'optcore\[figures\]'"):
        publish_figures(results, tmp_path / "other", formats="pdf")


def test_what_an_earlier_call_wrote_goes_and_what_the_user_wrote_or_changed_stays(results, tmp_path):
    folder = tmp_path / "paper"
    publish_figures(results, folder, formats=[])
    (folder / "mine.csv").write_text("mine")
    (folder / "derivatives.tex").write_text("changed by hand")
    (folder / "old.csv").write_text("old")
    digest = folder_module.file_sum(folder / "old.csv")
    with (folder / "SHA256SUMS").open("a") as file:
        file.write(f"{digest}  old.csv\n{'0' * 64}  mine.csv\n")
    publish_figures(results, folder, formats=[], solvers="scipy_neldermead")
    assert (folder / "mine.csv").read_text() == "mine"
    assert not (folder / "old.csv").exists()
    listed = (folder / "SHA256SUMS").read_text()
    assert "mine.csv" not in listed
    with (folder / "solvers.csv").open() as file:
        rows = [row for row in csv.reader(file) if not row[0].startswith("#")]
    assert [row[0] for row in rows] == ["solver", "scipy_neldermead [none]"]


def test_histories_without_dimensions_have_the_share_solved_within_a_cost_in_place_of_a_data_profile(tmp_path):
    frame = pd.DataFrame({"problem": ["p", "p"] * 2, "algorithm": ["a", "a", "b", "b"], "fun": [1.0, 0, 1, 0.5]})
    results = Results.from_frame(frame.assign(evaluation=[0, 1] * 2))
    names = [path.name for path in publish_figures(results, tmp_path, formats=[]).files]
    assert "cost_profile.csv" in names
    assert "data_profile.csv" not in names
    pd.testing.assert_frame_equal(read_csv(tmp_path / "cost_profile.csv"), ecdf(cost_table(results)), check_dtype=False)
    assert "2 solvers on 1 problem:" in (tmp_path / "INDEX.md").read_text()


def test_a_store_in_which_nothing_ran_has_nothing_to_publish(tmp_path):
    study = Study("empty", problems="more_wild/bard", algorithms="scipy_lbfgsb", derivatives="none")
    nothing = run_study(study, store=tmp_path / "store", n_jobs=1)
    with pytest.raises(InvalidInputError, match="nothing to publish"):
        publish_figures(nothing, tmp_path / "paper")
    assert not (tmp_path / "paper").exists()


def test_what_was_read_already_is_published_alike(results, paper, tmp_path):
    again = publish_figures(Evaluations.read(results), tmp_path / "again", formats=[]).folder
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {p.name: p.read_bytes() for p in paper.iterdir()}
    with pytest.raises(InvalidInputError, match="these evaluations were not read from one"):
        publish_figures(Evaluations.read(make_results(run("a", values=[1, 0]))), tmp_path / "paper")


@pytest.mark.skipif(find_browser() is None, reason="there is no browser that could draw")
def test_pictures_are_as_wide_as_a_column_and_carry_their_origin(results, tmp_path):
    pytest.importorskip("kaleido")
    published = publish_figures(
        results, tmp_path, width="single", solvers="scipy_lbfgsb", formats=["svg", "pdf", "png"]
    )
    assert {path.suffix for path in published.files} == {".svg", ".pdf", ".png", ".csv", ".tex", ".md", ""}
    again = publish_figures(results, tmp_path / "again", width="single", solvers="scipy_lbfgsb", formats=["svg"])
    for path in again.folder.glob("*.svg"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
    csv_sum = folder_module.file_sum(tmp_path / "convergence.csv")
    for kind in ("svg", "pdf", "png"):
        origin = read_stamp((tmp_path / f"convergence.{kind}").read_bytes())
        assert origin["digest of the store"] == results.digest
        assert origin["sha256 of convergence.csv"] == csv_sum
    svg = ET.parse(tmp_path / "convergence.svg").getroot()
    assert svg.attrib["width"] == "8.4cm"
    words = " ".join(element.text or "" for element in svg.iter("{http://www.w3.org/2000/svg}text"))
    assert "analytic" in words
    assert "forward" in words
    box = re.search(rb"/MediaBox \[0 0 ([\d.]+)", (tmp_path / "convergence.pdf").read_bytes())
    assert float(box[1]) / 72 * 2.54 == pytest.approx(8.4, abs=0.05)
    png = (tmp_path / "convergence.png").read_bytes()
    wide = int.from_bytes(png[16:20], "big")
    assert wide / 300 * 2.54 == pytest.approx(8.4, abs=0.05)
