"""All mistakes of a study at once, one sentence for each."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optcore.errors import InvalidInputError, OptcoreError, UnknownNameError

__all__ = ["UNREADABLE", "Kind", "Mistakes", "StudyError", "attempt", "mistakes_of_table", "wrong_values"]

#: What readers raise where a value can't be read: in a sentence, or where they trip over another type.
UNREADABLE = (OptcoreError, TypeError, ValueError, AttributeError, KeyError, OverflowError)


class StudyError(InvalidInputError, UnknownNameError):
    """A study can't be read.

    Attributes:
        sentences: one for each mistake, such as `key 'seed': must be a whole number of at least 0, but is -1`.
    """

    sentences: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: object, sentences: Sequence[str]) -> StudyError:
        """The error of a study of that name or path.

        >>> print(StudyError.of("mine", ["key 'seed': is missing"]))
        study 'mine', key 'seed': is missing
        """
        if len(sentences) == 1:
            joint = ", " if sentences[0].startswith("key ") else ": "
            error = cls(f"study {source!r}{joint}{sentences[0]}")
        else:
            lines = "".join(f"\n  {sentence}" for sentence in sentences)
            error = cls(f"study {source!r} has {len(sentences)} mistakes:{lines}")
        error.sentences = tuple(sentences)
        return error


@dataclass
class Mistakes:
    """Collects sentences: what can't be read costs a sentence, and the next key is looked at."""

    sentences: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        """Add a sentence, unless it has been said."""
        sentence = " ".join(sentence.splitlines())
        if sentence not in self.sentences:
            self.sentences.append(sentence)

    def add_to(self, key: str, messages: Sequence[str]) -> None:
        """Add what is wrong with a key."""
        for message in messages:
            self.add(f"key {key!r}: {message}")


def attempt(read: Callable[[Any], Any], value: Any) -> str | None:
    """What is wrong with a value; None if it can be read."""
    try:
        read(value)
    except OptcoreError as error:
        return str(error)
    except UNREADABLE as error:
        return f"{value!r} can't be read ({type(error).__name__}: {error})"
    return None


@dataclass(frozen=True)
class Kind:
    """How a table in a list is taken apart.

    Attributes:
        read: reads a whole entry.
        base: keys that say what it is about; all others are looked at one by one beside them.
        good: values of `base` that can be read, beside which keys are looked at where the given ones can't.
        nested: keys that hold a table of which each entry is looked at by itself.
        apart: keys of `base` that mean the same beside `good`.
    """

    read: Callable[[Any], Any]
    base: tuple[str, ...]
    good: Mapping[str, Any]
    nested: tuple[str, ...] = ()
    apart: tuple[str, ...] = ("name",)


def mistakes_of_table(entry: Any, kind: Kind) -> list[str]:
    """What is wrong with an entry of a list.

    Args:
        entry: a name, a table or an object.
        kind: how it is read.

    Returns:
        A sentence for each mistake; none if the entry can be read.
    """
    first = attempt(kind.read, entry)
    if not isinstance(entry, Mapping):
        return [] if first is None else [first]
    found: list[str] = []
    for trial in () if first is None else _trials(entry, kind):
        message = attempt(kind.read, trial)
        if message is not None and message not in found:
            found.append(message)
    if first is not None and not found:
        found.append(first)
    # What a reader takes although no key can hold it.
    others = (message for key, message in wrong_values(entry) if not any(key in said for said in found))
    return [*found, *others]


def _trials(entry: Mapping[str, Any], kind: Kind) -> Iterator[dict[str, Any]]:
    base = {key: entry[key] for key in kind.base if key in entry}
    yield base
    sound = attempt(kind.read, base) is None
    if not sound:
        yield from ({**kind.good, key: entry[key]} for key in base if key in kind.apart)
    for key, value in entry.items():
        if key in kind.base:
            continue
        if key in kind.nested and isinstance(value, Mapping):
            if sound:  # what it may hold depends on what it belongs to
                yield from ({**base, key: {inner: value[inner]}} for inner in value)
        else:
            yield {**(base if sound else kind.good), key: value}


def wrong_values(table: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, str]]:
    """What no key can hold, numbers that are none and dates: keys and what to say of them.

    >>> dict(wrong_values({"options": {"rate": float("nan")}}))
    {'rate': 'options.rate is nan, which is no number'}
    """
    for key, value in table.items():
        name = f"{where}{key}"
        if isinstance(value, Mapping):
            yield from wrong_values(value, f"{name}.")
            continue
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(one, float) and math.isnan(one):
                yield str(key), f"{name} is nan, which is no number"
            elif isinstance(one, (dt.date, dt.time)):
                yield str(key), f"{name} is the date or time {one.isoformat()}; put it in quotes, or give a number"
