"""The pytest plugin `optcore`: the fixture `optcore_regression` and the option `--optcore-accept`.

It imports nothing but pytest until a test asks for the fixture.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from optcore_bench.comparison import Comparison

__all__ = ["Regression", "optcore_regression"]

_PROPERTY = "optcore"
_FOLDER = "optcore_baselines"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--optcore-accept`."""
    group = parser.getgroup("optcore", "regression tests of solvers")
    group.addoption(
        "--optcore-accept",
        action="store_true",
        default=False,
        help="make or renew the baselines of tests with the fixture optcore_regression, instead of comparing with them",
    )


class Regression:
    """Compares solvers with baselines beside the test, see `optcore_bench.testing.check`."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._node = request.node
        self._accept = bool(request.config.getoption("--optcore-accept"))
        self._used: set[Path] = set()

    def baseline(self, name: str | None = None) -> Path:
        """The file: `optcore_baselines/MODULE.TEST.toml` in the folder of the test.

        Args:
            name: takes the place of the test's name.
        """
        module = self._node.path
        text = self._node.nodeid.partition("::")[2] if name is None else name
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", text.replace("::", ".")).strip("-")
        return Path(module.parent) / _FOLDER / f"{module.stem}.{safe}.toml"

    def check(
        self, solver: Any, problems: Any = "more_wild", *, name: str | None = None, **settings: Any
    ) -> Comparison:
        """Fail if a solver costs more than its baseline says.

        Args:
            solver: a name, a function or class, or a dict of several.
            problems: as in a study.
            name: of the baseline; needed where a test checks twice.
            settings: `derivatives, budget, starts, tau, gate, seed, stopping, robust_starts, n_jobs` of
                `optcore_bench.testing.check`.

        Returns:
            The comparison.

        Raises:
            RegressionError: an AssertionError; says which rows are worse and by how much.
        """
        __tracebackhide__ = True  # the test that calls is what a reader wants to see
        from optcore_bench.testing import check

        path = self.baseline(name)
        if path in self._used:
            raise ValueError(
                f"this test uses the baseline {path.name!r} twice; give each check a name: check(..., name=)"
            )
        self._used.add(path)
        found = check(solver, problems, baseline=path, accept=self._accept, **settings)
        self._note(found)
        return found

    def _note(self, found: Comparison) -> None:
        """Say in the summary of the session what a test that passes has to say."""
        if self._accept:
            lines = [*found.notes, *(str(row) for row in found.changed()[:10])]
        else:
            lines = [*found.notes]
            if any(word in found.counts for word in ("BETTER", "WORSE", "NONDETERMINISTIC")):
                lines += [found.headline()]
        self._node.user_properties += [(_PROPERTY, f"{self._node.nodeid}: {line}") for line in lines]


@pytest.fixture
def optcore_regression(request: pytest.FixtureRequest) -> Regression:
    """Compares solvers with baselines: `optcore_regression.check(solver, problems="more_wild")`."""
    return Regression(request)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was accepted, and what changed without being worse."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = [
        text for report in reports if report.when == "call" for key, text in report.user_properties if key == _PROPERTY
    ]
    if lines:
        terminalreporter.section("optcore")
        for line in lines:
            terminalreporter.line(line)
