"""Plots of optimizations: compute -> an object with the numbers -> a plotly figure."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optcore.errors import InvalidInputError, MissingLibraryError
from optcore.history import History
from optcore.result import OptimizeResult

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["criterion_plot", "params_plot"]

IMAGES = ("png", "svg", "pdf", "jpeg", "jpg", "webp")
#: Okabe & Ito (2008), distinguishable with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")


def criterion_plot(
    results: OptimizeResult | Mapping[str, OptimizeResult] | Sequence[OptimizeResult],
    *,
    names: Sequence[str] | None = None,
    max_evaluations: int | None = None,
    monotone: bool = False,
    log_scale: bool = False,
) -> go.Figure:
    """The objective against the number of evaluations, one line per result.

    Evaluations are calls of fun and fun_and_jac, those for numerical derivatives included: a gradient by forward
    differences moves the line n + 1 to the right.

    Args:
        results: a result, a dict of them by name, or a list.
        names: names for a list of results.
        max_evaluations: cut the lines here.
        monotone: draw the best value so far instead of each value.
        log_scale: logarithmic vertical axis.
    """
    figure = _figure("Number of evaluations", "Criterion value")
    for i, (name, result) in enumerate(_named(results, names).items()):
        x, y = _criterion_curve(_history_of(result, name), monotone=monotone)
        if max_evaluations is not None:
            x, y = x[x <= max_evaluations], y[x <= max_evaluations]
        figure.add_scatter(
            x=x,
            y=y,
            name=name,
            mode="lines+markers" if x.size <= 60 else "lines",
            line_color=COLOURS[i % len(COLOURS)],
        )
    figure.update_layout(showlegend=True)
    if log_scale:
        figure.update_yaxes(type="log")
    return figure


def params_plot(result: OptimizeResult, *, selector: Any = None, max_evaluations: int | None = None) -> go.Figure:
    """The params at the points that the solver asked for, one line per param.

    Args:
        result: one result.
        selector: takes params and returns the part of them to draw; everything by default.
        max_evaluations: cut the lines here.
    """
    history = _history_of(result, "result")
    x = _evaluations(history)[history.asked]
    points, names = history.flat_params[history.asked], list(history.names)
    if selector is not None:
        # Select by position: params whose entries are their own column numbers, as floats.
        chosen = _flat_numbers(selector(history.unflatten(np.arange(len(names), dtype=float))))
        points, names = points[:, chosen], [names[i] for i in chosen]
    if max_evaluations is not None:
        points, x = points[x <= max_evaluations], x[x <= max_evaluations]
    figure = _figure("Number of evaluations", "Param value")
    for i, name in enumerate(names):
        figure.add_scatter(x=x, y=points[:, i], name=name, mode="lines", line_color=COLOURS[i % len(COLOURS)])
    figure.update_layout(showlegend=True)
    return figure


def _evaluations(history: History) -> Any:
    """How many calls of the objective had been made, up to and including each row."""
    return np.cumsum(history.task != "jac")


def _criterion_curve(history: History, *, monotone: bool) -> tuple[Any, Any]:
    y = history.monotone_fun if monotone else history.fun
    return _evaluations(history)[history.asked], y[history.asked]


def _history_of(result: Any, name: str) -> History:
    if not isinstance(result, OptimizeResult):
        raise InvalidInputError(f"{name!r} must be a result of om.minimize or om.maximize, but is {result!r}")
    if len(result.history) == 0:
        raise InvalidInputError(f"{name!r} has no history; optimize with collect_history=True")
    return result.history


def _named(results: Any, names: Sequence[str] | None) -> dict[str, OptimizeResult]:
    if isinstance(results, Mapping):
        return {str(name): result for name, result in results.items()}
    given = [results] if isinstance(results, OptimizeResult) else list(results)
    if names is None:
        names = [str(i) for i in range(len(given))]
    if len(names) != len(given):
        raise InvalidInputError(f"there are {len(given)} results, but {len(names)} names: {list(names)!r}")
    return dict(zip(names, given, strict=True))


def _flat_numbers(tree: Any) -> list[int]:
    from optcore.tree import Converter

    return [int(i) for i in Converter(tree).start]


def _figure(x_title: str, y_title: str) -> go.Figure:
    import plotly.graph_objects as go

    class Figure(go.Figure):  # type: ignore[misc]  # plotly has no types
        """A plotly figure that can show itself as an image in a plain script too."""

        def show(self, *args: Any, **kwargs: Any) -> Any:
            """As plotly's; image renderers work without IPython and say what is missing."""
            renderer = kwargs.get("renderer")
            if renderer in IMAGES and not _in_notebook():
                return show_image(self, renderer)
            return super().show(*args, **kwargs)

    figure = Figure()
    figure.update_layout(template="simple_white", xaxis_title=x_title, yaxis_title=y_title)
    return figure


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")  # a notebook has imported it
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def show_image(figure: Any, kind: str) -> Path:
    """Write the figure as an image to a temporary file, say where, and return the path.

    Raises:
        MissingLibraryError: kaleido, or a browser for it, isn't installed; says what to install.
    """
    data = image_bytes(figure, kind)
    with tempfile.NamedTemporaryFile(prefix="optcore-", suffix=f".{kind}", delete=False) as file:
        file.write(data)
    print(f"figure written to {file.name}")
    return Path(file.name)


def image_bytes(figure: Any, kind: str) -> bytes:
    """The figure as an image (png, svg, pdf ...).

    Raises:
        MissingLibraryError: kaleido, or a browser for it, isn't installed; says what to install.
    """
    try:
        import kaleido  # noqa: F401  plotly looks for it only when it has begun
    except ImportError as error:
        raise MissingLibraryError(
            f"a figure as {kind} needs kaleido: pip install 'optcore[figures]', and Chrome or Chromium"
        ) from error
    try:
        data: bytes = figure.to_image(format=kind)
    except (RuntimeError, ValueError) as error:
        if "hrome" not in str(error):
            raise
        raise MissingLibraryError(
            f"a figure as {kind} needs Chrome or Chromium: install it (Debian: apt install chromium; "
            "or run plotly_get_chrome), or use fig.write_html(...)"
        ) from error
    return data
