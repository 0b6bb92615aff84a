"""What several modules share since it takes long to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.cluster import local_cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a dask scheduler that has two workers."""
    with local_cluster(tmp_path_factory.mktemp("cluster")) as address:
        yield address
