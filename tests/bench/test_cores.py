"""How many cores a study may use, and whether it sells them twice."""

from __future__ import annotations

from typing import Any

import joblib
import pytest

from optcore_bench.cores import available_cores, oversold
from optcore_bench.runs import Run, expand
from optcore_bench.study import Study


@pytest.mark.parametrize(
    ("environment", "cores"),
    [
        ({}, 16),
        ({"SLURM_CPUS_PER_TASK": "4"}, 4),
        ({"SLURM_CPUS_PER_TASK": "64"}, 16),  # what the affinity allows is less
        ({"NSLOTS": "3"}, 3),
        ({"NCPUS": "0"}, 16),
        ({"SLURM_CPUS_PER_TASK": "4(x2)"}, 16),
    ],
)
def test_cores_are_the_least_of_what_is_granted(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 16)
    assert available_cores(environment) == cores


def runs(*derivatives: Any) -> list[Run]:
    return expand(Study("s", "more_wild/rosenbrock", "scipy_lbfgsb", derivatives=derivatives))


def test_cores_sold_twice_are_one_sentence_with_the_remedy() -> None:
    eight = {"name": "forward-8", "strategy": "forward", "n_cores": 8}
    assert oversold(runs("forward"), 16, 16) is None
    assert oversold(runs("forward", eight), 2, 16) is None
    assert oversold([], 99, 1) is None
    sentence = oversold(runs("forward", eight), 4, 16)
    assert sentence is not None
    assert sentence.startswith("4 jobs x 8 cores of [forward-8] want 32 cores, and this process may use 16:")
    assert sentence.endswith("use --jobs 2")
    assert str(oversold(runs(eight), 1, 4)).endswith("use fewer n_cores")
    assert str(oversold(runs("forward"), 4, 2)).startswith("4 jobs want 4 cores, and this process may use 2")
    everything = {"name": "all", "strategy": "forward", "n_cores": -1}
    assert oversold(runs(everything), 1, 4) is None
    assert str(oversold(runs(everything), 2, 4)).endswith("use --jobs 1")
