"""The command line: `optcore run`, `report`, `show`, `list`, `doctor`.

What a command needs is imported when it runs, so that `optcore --help` answers at once.
"""

from __future__ import annotations

from optcore_bench.cli.app import app, main

__all__ = ["START", "app", "main"]

#: What `python -c` is given to be this command.
START = "from optcore_bench.cli import main; main()"
