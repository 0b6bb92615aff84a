"""What happened to a run, in words: where it was, how its process ended, what it printed last."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sysconfig
import traceback
from collections.abc import Iterable
from functools import cache

__all__ = ["describe_error", "how_it_ended", "last_words", "place_in_dump", "shorten", "signal_name"]

_DUMP_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.+)$')
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_LONGEST = 2000
_MOST_CAUSES = 5
#: Lines of faulthandler that tell a reader nothing beyond what the rest of the message says.
_DUMP_LINES = (
    "Fatal Python error",
    "Current thread",
    "Stack (most",
    "Thread 0x",
    "Extension modules:",
    "  File ",
    "  ...",
)

Frame = tuple[str, int, str]


@cache
def _libraries() -> tuple[str, ...]:
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return ("<frozen", *(folder + os.sep for folder in folders))


@cache
def _ours() -> tuple[str, ...]:
    """The folders of the core and of the harness. Nothing is imported to find them."""
    found = [importlib.util.find_spec(name) for name in ("optcore", "optcore_bench")]
    return tuple(os.path.dirname(spec.origin) + os.sep for spec in found if spec is not None and spec.origin)


def _is_ours(frame: Frame) -> bool:
    file, _, name = frame
    return file.startswith(_ours()) or (file, name) == ("<string>", "<module>")  # the latter starts the interpreter


def _place(frames: Iterable[Frame]) -> str:
    """The first frame outside of libraries, the core and the harness; if there is none, the first of a library."""
    candidates = [frame for frame in frames if not _is_ours(frame)]
    own = [frame for frame in candidates if not frame[0].startswith(_libraries())]
    for file, line, name in (own or candidates)[:1]:
        return f"in {name} ({file}:{line})"
    return ""


def place_in_dump(text: str) -> str:
    r"""Where the process was, from what faulthandler wrote; "" if it wrote nothing.

    >>> place_in_dump('Stack (most recent call first):\n  File "/a/b.py", line 3 in solve\n')
    'in solve (/a/b.py:3)'
    """
    found = (_DUMP_FRAME.match(line) for line in text.splitlines())
    return _place((_unescaped(m["file"]), int(m["line"]), _unescaped(m["name"])) for m in found if m)


def _unescaped(text: str) -> str:
    r"""What faulthandler wrote in ASCII: `\xfc`, `\u2202` and the like stand for other letters."""
    return _ESCAPE.sub(lambda found: chr(int(found[0][2:], 16)), text)


def describe_error(error: BaseException) -> str:
    """Type, text and the place in the user's code, as in `ValueError: no (in solve (/a/b.py:3))`, then its cause.

    >>> try:
    ...     raise RuntimeError("can't start") from ValueError("no")
    ... except RuntimeError as error:
    ...     describe_error(error).partition("; caused by ")[2]
    'ValueError: no'
    """
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and len(chain) < _MOST_CAUSES:
        chain.append(cause)
    return "; caused by ".join(map(_describe_one, chain))


def _describe_one(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  the exception's own __str__ may be what is broken
        text = "(its text can't be read)"
    frames = [
        (frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    place = _place(reversed(frames))
    head = f"{kind}: {text}" if text else kind
    return shorten(head) + (f" ({place})" if place else "")


def shorten(text: str) -> str:
    """The text, its middle left out where it is very long."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}"


def how_it_ended(status: int | None) -> str:
    """A wait status in words.

    >>> how_it_ended(11), how_it_ended(3 << 8)
    ('killed by SIGSEGV', 'ended by os._exit(3), or by exit(3) in a C library')
    """
    if status is None:
        return "its process is gone, and so is the one that could say how it ended"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended by os._exit({code}), or by exit({code}) in a C library"
    name = signal_name(-code)
    if name == "SIGKILL":
        return "killed by SIGKILL: by itself, by another process, or by the system for want of memory"
    return f"killed by {name}"


def signal_name(number: int) -> str:
    """The name of a signal.

    >>> signal_name(11), signal_name(99)
    ('SIGSEGV', 'signal 99')
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_words(text: str, lines: int = 4) -> str:
    """The last lines that a process printed on stderr, without faulthandler's."""
    said = [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith(_DUMP_LINES)]
    return shorten("\n".join(said[-lines:]))
