"""The ledger: the same books whatever is kept, in one go or in many, in one thread or in several, here or in memory."""

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optcore.bounds import FlatBounds
from optcore.history import FAILED, FUN, FUN_AND_JAC, JAC, NUMDIFF, PrivateMemory, best_so_far, read_rows
from optcore.ledger import BATCH_SHIFT, Ledger

N = 2
row = st.tuples(
    st.sampled_from([FUN, JAC, FUN_AND_JAC, NUMDIFF, FUN | FAILED]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(0, 3),  # batch: 0 is a call on its own
    st.floats(-2, 2),
)
cases = st.tuples(st.lists(row, max_size=40), st.integers(1, 7), st.sampled_from([1, -1]), st.booleans())


def written(ledger, rows, settle_every=10**9):
    for i, (code, value, batch, x) in enumerate(rows):
        value = np.nan if code in (JAC, FUN | FAILED) else value
        point = np.array([x, float(i)])
        ledger.append((code | batch << BATCH_SHIFT, value, ledger.origin + i, ledger.origin + i + 0.5, point.tobytes()))
        if i % settle_every == 0:
            ledger.settle()
    return ledger


def bounds_of(bounded):
    return FlatBounds(np.array([-1.0, -np.inf]), np.array([1.0, np.inf])) if bounded else None


@given(cases)
@settings(max_examples=80, deadline=None)
def test_the_books_are_the_same_settled_at_once_or_in_parts_kept_here_or_written_to_memory(case):
    rows, settle_every, sign, bounded = case
    memory = PrivateMemory()
    options = {"sign": sign, "bounds": bounds_of(bounded)}
    ledgers = [
        written(Ledger(N, **options), rows),
        written(Ledger(N, **options), rows, settle_every),
        written(Ledger(N, memory=memory, **options), rows, settle_every),
        written(Ledger(N, keep="none", **options), rows, settle_every),
        written(Ledger(N, keep="best", **options), rows, settle_every),
    ]
    first = ledgers[0].rows()
    for ledger in ledgers[1:3]:
        for ours, theirs in zip(ledger.rows(), first, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    for ours, theirs in zip(read_rows(memory.reserve(0)), first, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    for ledger in ledgers:
        assert ledger.counts == np.bincount(first.task, minlength=4).tolist()
        assert ledger.best_fun == ledgers[0].best_fun
        np.testing.assert_array_equal(ledger.best_x, ledgers[0].best_x)
    assert ledgers[3].rows().fun.size == 0
    best = best_so_far(first, sign=sign)
    finite = best[~np.isnan(best) & (sign * best < np.inf)]
    if finite.size:
        assert ledgers[0].best_fun == sign * finite[-1] == sign * ledgers[4].rows().fun[-1]
    else:
        assert ledgers[0].best_x is None
    improving = ledgers[4].rows().fun
    assert (np.diff(sign * improving) < 0).all()


def test_calls_of_one_batch_share_a_number_and_others_have_their_own():
    ledger = Ledger(N)
    for group in (0, 0, 5, 5, 6, 6, 0, 7):
        ledger.append((NUMDIFF | group << BATCH_SHIFT, 1.0, 0.0, 0.0, bytes(16)))
    assert ledger.rows().batch.tolist() == [0, 1, 2, 2, 3, 3, 4, 5]


def test_points_outside_the_bounds_are_marked_and_never_the_best():
    ledger = Ledger(1, bounds=FlatBounds(np.array([0.0]), np.array([1.0])))
    for x in (0.5, 2.0, 0.2):
        ledger.append((FUN, -abs(x), 0.0, 0.0, np.array([x]).tobytes()))
    assert ledger.best_fun == -0.5
    assert ledger.rows().feasible.tolist() == [True, False, True]


@pytest.mark.parametrize("memory", [None, PrivateMemory()])
@pytest.mark.parametrize("settled", [False, True])
def test_a_call_is_marked_as_failed_afterwards(memory, settled):
    ledger = Ledger(1, memory=memory)
    points = [np.array([x]).tobytes() for x in (1.0, 2.0, 3.0)]
    for code, value, x in [(FUN, 1.0, points[0]), (JAC, np.nan, points[1]), (FUN, 2.0, points[2])]:
        ledger.append((code, value, 0.0, 0.0, x))
    if settled:
        ledger.settle()
    ledger.mark_failed(points[1])
    assert ledger.rows().failed.tolist() == [False, True, False]
    ledger.mark_failed(np.array([7.0]).tobytes())  # nothing is there
    for value in (4.0, np.nan, np.inf):
        ledger.append((NUMDIFF | 1 << BATCH_SHIFT, value, 0.0, 0.0, points[0]))
    ledger.mark_failed(None)
    assert ledger.rows().failed.tolist() == [False, True, False, False, True, True]
    assert ledger.rows().task.tolist() == [FUN, JAC, FUN, NUMDIFF, NUMDIFF, NUMDIFF]


@pytest.mark.parametrize("memory", [None, PrivateMemory()])
def test_threads_lose_no_row_and_no_count(memory):
    ledger = Ledger(1, memory=memory)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:

        def work(number):
            for i in range(500):
                ledger.append((FUN, float(number * 500 + i), 0.0, 0.0, np.array([float(number)]).tobytes()))
                if i % 50 == 0:
                    ledger.settle()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    rows = ledger.rows()
    assert ledger.counts[FUN] == 3000
    np.testing.assert_array_equal(np.sort(rows.fun), np.arange(3000.0))
    np.testing.assert_array_equal(rows.fun // 500, rows.x[:, 0])
    assert ledger.best_fun == 0.0
