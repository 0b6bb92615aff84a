"""What tests ask about processes."""

from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended; one that waits to be collected has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
