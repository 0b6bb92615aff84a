"""Functions that travel by value keep what a user needs to find them."""

import pickle
import subprocess
import sys
import traceback

import pytest

from optcore import pickling


def test_a_function_that_travels_by_value_keeps_its_file_and_line():
    def fail(x):
        raise ValueError(x)

    arrived = pickle.loads(pickling.dumps(fail))
    with pytest.raises(ValueError, match="7") as caught:
        arrived(7)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.line) == (__file__, "raise ValueError(x)")


def test_functions_within_functions_keep_their_file_too():
    def outer():
        def inner():
            return 1

        return inner

    arrived = pickle.loads(pickling.dumps(outer))
    assert arrived().__code__.co_filename == __file__


SCRIPT = """
import numpy as np, optree
import optcore as om

@optree.dataclasses.dataclass(namespace="optcore")
class Line:
    slope: float
    levels: np.ndarray

class Bag:
    def __init__(self, item):
        self.item = item

optree.register_pytree_node(Bag, lambda bag: ((bag.item,), None), lambda _, c: Bag(*c), namespace="optcore")

@om.mark.least_squares
def fun(p):
    assert type(p["line"]) is Line and type(p["bag"]) is Bag
    return Bag({"r": p["line"].levels - p["line"].slope, "q": [p["bag"].item - 2.0, p["line"].slope - 1.0]})

start = {"line": Line(0.0, np.array([2.0, 3.0])), "bag": Bag(1.0)}
result = om.minimize(fun, start, "scipy_ls_trf", numdiff_options=om.NumdiffOptions(n_cores=2))
print(result.params["line"].levels.round(6), round(result.params["bag"].item, 6), result.history.names)
"""


def test_classes_of_a_script_stay_registered_with_optree_in_worker_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert done.stdout.strip() == "[1. 1.] 2.0 ('bag[0]', 'line.slope', 'line.levels[0]', 'line.levels[1]')"
