"""The fingerprint names what changes numbers, and nothing that changes from call to call."""

from __future__ import annotations

import getpass
import importlib.metadata
import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import scipy
from threadpoolctl import threadpool_limits

import optcore
import optcore.environment
from optcore_bench import environment
from optcore_bench.environment import environment_hash, fingerprint, library_version, provenance
from tests.processes import git

KEYS = {"optcore", "python", "numpy", "scipy", "blas", "blas_threads", "simd", "os", "libc", "machine", "cpu"}


def elsewhere(code: str = "", **variables: str) -> dict[str, str]:
    """The fingerprint that another process takes after running some code."""
    script = f"import json\n{code}\nfrom optcore_bench.environment import fingerprint\nprint(json.dumps(fingerprint()))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_fingerprint_names_versions_blas_simd_and_machine() -> None:
    found = fingerprint()
    assert set(found) == KEYS
    assert all(isinstance(value, str) and value for name, value in found.items() if name != "libc")
    assert found["optcore"] == optcore.__version__
    assert found["numpy"] == np.__version__
    assert found["scipy"] == scipy.__version__
    assert platform.python_version() in found["python"]
    assert platform.python_implementation() in found["python"]
    assert found["machine"] == platform.machine()


@pytest.mark.skipif("openblas" not in fingerprint()["blas"], reason="numpy here uses another BLAS")
def test_the_kernel_of_openblas_is_in_the_fingerprint() -> None:
    assert "Haswell" in elsewhere(OPENBLAS_CORETYPE="Haswell")["blas"]
    assert elsewhere(OPENBLAS_CORETYPE="Haswell")["blas"] != elsewhere(OPENBLAS_CORETYPE="Nehalem")["blas"]


def test_the_fingerprint_is_the_same_in_every_process_whatever_it_imported_or_pinned() -> None:
    here = fingerprint()
    for number in (2, 1):
        with threadpool_limits(number):
            environment._fingerprint.cache_clear()
            assert fingerprint() == here
    assert elsewhere() == here
    assert elsewhere("import scipy.optimize, pandas, pyarrow", OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1") == here


def test_a_library_of_another_package_is_not_taken_for_the_blas_of_numpy(monkeypatch) -> None:
    def entry(path: str, version: str, api: str = "blas") -> dict[str, str]:
        return {"user_api": api, "internal_api": "mkl", "version": version, "architecture": "Zen", "filepath": path}

    torch = entry("/env/lib/python3.11/site-packages/torch/lib/libmkl.so", "9")
    bundled = entry("/env/lib/python3.11/site-packages/numpy.libs/libblas.so", "1")
    shared = entry("/env/lib/libmkl_rt.so", "2")
    openmp = entry("/env/lib/libgomp.so", "3", api="openmp")
    for libraries, expected in (
        ([torch, bundled, shared, openmp], "mkl 1 Zen"),
        ([torch, shared, openmp], "mkl 2 Zen"),
    ):
        monkeypatch.setattr(optcore.environment, "threadpool_info", lambda libraries=libraries: libraries)
        assert optcore.environment.blas() == expected
    monkeypatch.setattr(optcore.environment, "threadpool_info", lambda: [torch])
    assert optcore.environment.blas().startswith(np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"])


def test_a_fingerprint_that_is_changed_does_not_change_the_next_one() -> None:
    fingerprint()["numpy"] = "0"
    assert fingerprint()["numpy"] == np.__version__


def test_the_hash_is_short_and_depends_on_every_entry() -> None:
    found = fingerprint()
    name = environment_hash(found)
    assert len(name) == 12
    assert int(name, 16) >= 0
    assert environment_hash(dict(reversed(found.items()))) == name
    assert len({environment_hash(found | {key: "other"}) for key in found} | {name}) == len(found) + 1


def test_a_version_is_found_by_import_name() -> None:
    assert library_version("numpy") == np.__version__
    assert library_version("scipy.optimize") == scipy.__version__
    assert library_version("yaml") == (None if not _installed("PyYAML") else importlib.metadata.version("PyYAML"))
    assert library_version("dateutil") == importlib.metadata.version("python-dateutil")
    assert library_version("optcore") == importlib.metadata.version("optcore")
    assert library_version("no_such_library") is None


def test_the_versions_of_packages_are_those_that_importlib_tells() -> None:
    known = {entry.metadata["Name"]: entry.version for entry in importlib.metadata.distributions()}
    found = provenance(None)["packages"]
    assert found == known
    assert list(found) == sorted(known, key=str.lower)


def test_a_package_without_a_name_or_version_is_left_out(tmp_path, monkeypatch) -> None:
    for name, text in {"a": "Name: a\n", "b": "Version: 1\n\nName: b\n", "c": "name: c\nVersion:  1.0 \n"}.items():
        (tmp_path / f"{name}-1.dist-info").mkdir()
        (tmp_path / f"{name}-1.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\n{text}")
    (tmp_path / "d-1.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert environment._packages() == {"c": "1.0"}


def _installed(name: str) -> bool:
    return any(entry.metadata["Name"] == name for entry in importlib.metadata.distributions())


def test_provenance_says_where_and_from_what(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = json.loads(json.dumps(provenance("optcore run quick")))
    assert found["command"] == "optcore run quick"
    assert found["host"] == platform.node()
    assert found["cpu_count"] == os.cpu_count()
    assert found["memory_bytes"] > 2**20
    assert found["packages"]["numpy"] == np.__version__
    assert found["created"].endswith("+00:00")
    assert found["git"] is None
    assert "user" not in found
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in json.dumps({name: found[name] for name in ("host", "platform", "cpu")})


def test_provenance_names_the_commit_and_whether_files_were_changed(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)

    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "first")
    assert provenance(None)["git"] == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "new").write_text("x")
    assert provenance(None)["git"] == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": True}


def test_without_git_there_is_no_commit(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance(None)["git"] is None
