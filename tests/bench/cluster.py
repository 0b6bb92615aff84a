"""A dask cluster on this machine, started by dask's own commands as a user would."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def local_cluster(folder: Path) -> Iterator[str]:
    """Start a scheduler and two workers in a folder; yields the scheduler's address. Skips where there is no dask."""
    pytest.importorskip("distributed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    port = address.rpartition(":")[2]
    environment = {**os.environ, "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    commands = [["scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]]
    commands += [["worker", address, "--nthreads", "1", "--no-dashboard", "--name", name] for name in ("a", "b")]
    with (folder / "output").open("w") as output:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            for command in commands
        ]
        try:
            _wait_for_workers(address, 2, folder / "output")
            yield address
        finally:
            for process in reversed(processes):
                os.killpg(process.pid, signal.SIGTERM)
            for process in processes:
                process.wait(30)


def _wait_for_workers(address: str, count: int, output: Path) -> None:
    import distributed

    end = time.monotonic() + 90.0
    while time.monotonic() < end:
        try:
            with distributed.Client(address, timeout=5, set_as_default=False) as client:
                client.wait_for_workers(count, timeout=180)
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"no cluster: {output.read_text()}")
