"""What a machine computes with."""

import importlib.metadata
import os
import platform
import re

from threadpoolctl import threadpool_limits

import optcore.environment
from optcore.environment import blas_threads, cpu, environment, library_version, output_of


def test_the_environment_names_os_machine_and_blas():
    found = environment()
    assert found["os"] == platform.platform()
    assert found["cpu"] == cpu() != ""
    assert found["cpu_count"] == os.cpu_count()
    assert re.match(r"\w+ [\d.]+", found["blas"])


def test_threads_are_those_that_blas_may_use_now(monkeypatch):
    if blas_threads() is not None:
        for number in (2, 1):
            with threadpool_limits(number):
                assert blas_threads() == number
    monkeypatch.setattr(optcore.environment, "threadpool_info", list)
    assert blas_threads() is None


def test_a_program_that_is_missing_or_fails_says_nothing():
    assert output_of("no-such-program-anywhere") is None
    assert output_of("false") is None
    assert output_of("echo", "a", "b") == "a b"


def test_versions_are_found_by_import_name():
    assert library_version("threadpoolctl") == importlib.metadata.version("threadpoolctl")
    assert library_version("dateutil.parser") == importlib.metadata.version("python-dateutil")
    assert library_version("no_such_library") is None
