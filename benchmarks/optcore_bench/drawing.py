"""Images of figures, drawn by a browser in a process of its own that a time limit ends together with the browser.

kaleido limits the time of a drawing, but not that of the browser's start and of its first pages. On a busy machine a
browser sometimes never answers there, and whoever waits for it can't even be interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optcore import pickling
from optcore.errors import MissingLibraryError
from optcore_bench.supervise import Supervisor

__all__ = ["draw"]

#: Limits to the start of the browser and to a figure: some ten times what a slow machine takes.
_START_SECONDS = 60.0
_FIGURE_SECONDS = 6.0
_TRIES = 2


def draw(figures: Sequence[Any], paths: Sequence[Path], options: Mapping[str, Any], advice: str) -> None:
    """Draw figures into files, all at once, since each start of the browser takes seconds.

    Args:
        figures: figures of plotly.
        paths: a file for each.
        options: further arguments of `plotly.io.write_images`, such as lists of format, scale, width, height.
        advice: what to do without, or what was done; ends the message of an error.

    Raises:
        MissingLibraryError: kaleido, or a browser for it, isn't installed; says how to get it. Or the browser doesn't
            answer, twice.
    """
    try:
        import kaleido  # noqa: F401  plotly looks for it only when it has begun
    except ImportError as error:
        raise MissingLibraryError(
            "figures as files need kaleido, and Chrome or Chromium: pip install 'optcore[figures]'; " + advice
        ) from error
    absolute = [path.absolute() for path in paths]
    payload = pickling.dumps((_write_images, (list(figures), absolute, dict(options))))
    with Supervisor(preload=()) as supervisor:
        for _ in range(_TRIES):
            outcome = supervisor.run(payload, seconds=_limit(len(paths)))
            if outcome.ended not in ("timeout", "crashed"):
                break
    if outcome.ended == "timeout":
        raise MissingLibraryError(
            f"the figures could not be drawn: {_TRIES} times the browser did not answer within {_limit(len(paths)):g} "
            f"s, as happens on busy machines; {advice}"
        )
    trouble = outcome.message if outcome.answer is None else outcome.answer["trouble"]
    if trouble:
        raise MissingLibraryError(
            f"the figures could not be drawn ({trouble}); they need Chrome or Chromium: install it (Debian: apt "
            f"install chromium), or run plotly_get_chrome; {advice}"
        )


def _limit(figures: int) -> float:
    return _START_SECONDS + _FIGURE_SECONDS * figures


def _write_images(_: Any, figures: list[Any], paths: list[Path], options: dict[str, Any]) -> dict[str, Any]:
    import plotly.io

    try:
        plotly.io.write_images(figures, paths, **options)
    except Exception as error:  # noqa: BLE001  kaleido raises whatever the browser makes it raise
        return {"trouble": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"}
    return {"trouble": ""}
