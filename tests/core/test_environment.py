"""What a machine computes with."""

import importlib.metadata
import os
import platform
import re
import sys

from threadpoolctl import threadpool_limits

import optcore.environment
from optcore.environment import blas_threads, cpu, distributions_of, environment, library_version, output_of


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


def test_distributions_are_those_that_importlib_tells():
    known = importlib.metadata.packages_distributions()
    found = {name: list(distributions_of(name))[:-1] for name in known}
    # It tells some names from Python 3.12 on only, such as those of compiled modules and of folders without modules.
    assert {name for name in known if found[name]} >= {"numpy", "scipy", "dateutil"}
    assert all(found[name] in ([], known[name]) for name in known)


def test_the_modules_of_a_distribution_are_in_its_list_of_files(tmp_path, monkeypatch):
    record = "plain.py,sha256=a,1\npackage/inner/a.py,,\nfast.cpython-311-x86_64-linux-gnu.so,,\ndata/b.txt,,\n"
    for name, files in {
        "of-files": {"RECORD": f"{record}thing-1.dist-info/c.py,,\n"},
        "declared": {"RECORD": record},
    }.items():
        folder = tmp_path / f"{name.replace('-', '_')}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
        for file, text in files.items():
            (folder / file).write_text(text)
    (tmp_path / "declared-1.dist-info" / "top_level.txt").write_text("said\n")
    egg = tmp_path / "old.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Name: old\nVersion: 2\n")
    (egg / "SOURCES.txt").write_text("setup.py\nlaid/__init__.py\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    optcore.environment._distributions.cache_clear()
    try:
        found = dict(optcore.environment._distributions())
    finally:
        optcore.environment._distributions.cache_clear()
    expected = {"plain": "of-files", "package": "of-files", "fast": "of-files", "said": "declared"}
    assert {name: found.pop(name) for name in expected} == {name: [of] for name, of in expected.items()}
    assert set(found) <= {"setup", "laid"}  # of an egg importlib tells, from Python 3.12 on, what is there only
