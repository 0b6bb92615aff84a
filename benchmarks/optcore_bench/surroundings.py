"""What a worker process must see of the process that runs the study: module search path, folder, environment variables.

Processes of joblib's outlive a study and are used again by the next one, which may have changed all three meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import Self

__all__ = ["Surroundings"]

#: Variables that belong to a worker itself.
_OF_WORKERS = ("LOKY_", "JOBLIB_", "RAY_", "DASK_", "KMP_")


@dataclass(frozen=True)
class Surroundings:
    """What a process sees.

    Attributes:
        path: the module search path.
        folder: the present folder; None where it is gone.
        variables: environment variables, sorted, without those that belong to a worker itself.
        owned: whether its workers belong to this process alone, so that variables that it doesn't have are removed
            there; in those of a cluster they are left.
    """

    path: tuple[str, ...]
    folder: str | None
    variables: tuple[tuple[str, str], ...]
    owned: bool = True

    @classmethod
    def here(cls, *, owned: bool = True) -> Self:
        """What this process sees now.

        Args:
            owned: see above.
        """
        folder = None
        with contextlib.suppress(OSError):
            folder = os.getcwd()
        variables = {name: value for name, value in os.environ.items() if not name.startswith(_OF_WORKERS)}
        return cls(tuple(map(os.fspath, sys.path)), folder, tuple(sorted(variables.items())), owned)

    def apply(self) -> None:
        """Let this process see the same. A folder that is not there, or may not be entered, is left out."""
        sys.path[:] = self.path
        if self.folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(self.folder)
        wanted = dict(self.variables)
        for name in [*os.environ] if self.owned else ():
            if name not in wanted and not name.startswith(_OF_WORKERS):
                del os.environ[name]
        os.environ.update(wanted)
