"""Workers: what is counted from a record, and that supervisors are shared well and end when told to."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from optcore.history import FUN, FUN_AND_JAC, JAC, NUMDIFF, HistoryRows
from optcore_bench.store import RunRecord
from optcore_bench.supervise import SupervisionError
from optcore_bench.worker import Job, Supervisors, _best, _start_value, counts, perform


def rows(task: list[int], batch: list[int]) -> HistoryRows:
    size = len(task)
    return HistoryRows(
        task=np.array(task, dtype=np.uint8),
        fun=np.arange(size, dtype=float),
        batch=np.array(batch, dtype=np.int32),
        start=np.zeros(size),
        stop=np.zeros(size),
        x=np.zeros((size, 2)),
    )


def test_calls_are_counted_by_kind_and_batches_by_change() -> None:
    found = counts(rows([FUN, NUMDIFF, NUMDIFF, JAC, FUN_AND_JAC, FUN], [0, 0, 0, 1, 2, 3]))
    assert found == {
        "n_fun_evals": 4,
        "n_jac_evals": 1,
        "n_fun_and_jac_evals": 1,
        "n_numdiff_evals": 2,
        "n_batches": 4,
    }
    assert set(counts(rows([], [])).values()) == {0}


def test_the_best_value_is_the_best_feasible_one_that_the_solver_asked_for() -> None:
    found = rows([FUN, NUMDIFF, FUN, FUN], [0, 0, 1, 2])._replace(fun=np.array([-5.0, -9.0, 4.0, 3.0]))
    assert (_start_value(found), _best(found)) == (-5.0, -5.0)
    outside = found._replace(feasible=np.array([False, True, True, True]))
    assert (_start_value(outside), _best(outside)) == (4.0, 3.0)
    nowhere = found._replace(feasible=np.zeros(4, dtype=bool))
    assert (_start_value(nowhere), _best(nowhere)) == (None, None)


def job(function: Any, comparison: Any = None) -> Job:
    row = {"run_id": "1", "f_start": None}
    pickled = None if comparison is None else cloudpickle.dumps((comparison, ()))
    return Job(row, cloudpickle.dumps((function, ())), pickled, None, 30.0, None, True)


@pytest.fixture
def supervisors() -> Any:
    made = Supervisors()
    yield made
    made.close()


def test_the_comparison_of_derivatives_is_made_apart_and_not_after_a_crash(supervisors: Supervisors) -> None:
    def answers(memory: Any) -> Any:
        return {"status": "converged", "message": "", "f_final": 1.0, "n_iterations": 2}

    def compares(memory: Any) -> Any:
        return {"derivative_error": 0.25}

    def dies(memory: Any) -> Any:
        import os

        os._exit(1)

    done = perform(job(answers, compares), supervisors).run
    assert (done["status"], done["f_final"], done["n_iterations"], done["derivative_error"]) == (
        "converged",
        1.0,
        2,
        0.25,
    )
    died = perform(job(dies, compares), supervisors).run
    assert (died["status"], died["derivative_error"], died["f_final"]) == ("crashed", None, None)
    compared_in_vain = perform(job(answers, dies), supervisors).run
    assert (compared_in_vain["status"], compared_in_vain["derivative_error"]) == ("converged", None)


def test_supervisors_are_kept_between_runs_and_are_one_for_each_thread(supervisors: Supervisors) -> None:
    with supervisors.borrow() as first, supervisors.borrow() as second:
        assert first is not second
    with supervisors.borrow() as again:
        assert again in (first, second)


def test_closing_ends_runs_in_flight_and_refuses_new_ones(supervisors: Supervisors, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def sleeps(memory: Any) -> Any:
        import time

        begun.touch()
        time.sleep(60)
        return {}

    records: list[RunRecord] = []
    thread = threading.Thread(target=lambda: records.append(perform(job(sleeps), supervisors)))
    thread.start()
    while not begun.exists():
        time.sleep(0.01)
    supervisors.close()
    thread.join(30.0)
    assert [record.run["status"] for record in records] == ["crashed"]
    with pytest.raises(SupervisionError, match="interrupted"), supervisors.borrow():
        pass
