"""Functions as bytes for other processes, with the names of the files that they were written in."""

from __future__ import annotations

import io
from collections import ChainMap
from types import CodeType
from typing import Any, ClassVar

import cloudpickle
import cloudpickle.cloudpickle

__all__ = ["dumps"]

#: What cloudpickle writes instead of the file of functions that travel by value, from its version 3.1.3 on.
_NO_FILE = "<dynamic-code>"


def _reduce_code(code: CodeType) -> tuple[Any, ...]:
    make, arguments = cloudpickle.cloudpickle._code_reduce(code)
    return make, tuple(code.co_filename if argument == _NO_FILE else argument for argument in arguments)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Keeps file names, so that a traceback of another process says where the user's code failed."""

    dispatch_table: ClassVar = ChainMap({CodeType: _reduce_code}, cloudpickle.Pickler.dispatch_table)


def dumps(value: Any) -> bytes:
    """As cloudpickle.dumps: by value what other processes can't import.

    >>> import pickle
    >>> pickle.loads(dumps(dumps)) is dumps
    True
    """
    with io.BytesIO() as file:
        _Pickler(file, protocol=5).dump(value)
        return file.getvalue()
