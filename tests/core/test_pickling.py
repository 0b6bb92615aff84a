"""Functions that travel by value keep what a user needs to find them."""

import pickle
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
