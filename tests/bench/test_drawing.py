"""Images: a browser that doesn't answer is ended, tried once more, and said."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import pytest

from optcore.errors import MissingLibraryError
from optcore_bench import drawing
from optcore_bench.cli.doctor import find_browser
from optcore_bench.figures import write_figure
from tests.processes import is_running, wait_until

pytest.importorskip("kaleido")

#: Never answers; the first time only, where there is another browser to be taken afterwards.
MUTE = """#!/bin/sh
echo $$ >> {folder}/pids
if [ -n "{browser}" ] && [ "$(wc -l < {folder}/pids)" -gt 1 ]; then exec {browser} "$@"; fi
exec sleep 1000
"""


def mute(folder: Path, monkeypatch: pytest.MonkeyPatch, browser: str = "") -> None:
    path = folder / "browser"
    path.write_text(MUTE.format(folder=folder, browser=browser))
    path.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(path))


def pids(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def test_a_browser_that_never_answers_is_ended_twice_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mute(tmp_path, monkeypatch)
    monkeypatch.setattr(drawing, "_START_SECONDS", 4.0)
    with pytest.raises(MissingLibraryError, match=r"2 times the browser did not answer within 10 s.*ends with .html"):
        write_figure(go.Figure(), tmp_path / "figure.png")
    assert len(pids(tmp_path)) == 2
    wait_until(lambda: not any(map(is_running, pids(tmp_path))))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["browser", "pids"]


@pytest.mark.skipif(find_browser() is None, reason="there is no browser that could draw")
def test_a_browser_that_answers_the_second_time_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mute(tmp_path, monkeypatch, str(find_browser()))
    limits = iter([5.0])
    monkeypatch.setattr(drawing, "_limit", lambda _: next(limits, 180.0))
    write_figure(go.Figure(), tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().startswith("<svg")
    wait_until(lambda: not any(map(is_running, pids(tmp_path))))
