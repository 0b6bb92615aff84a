"""What a wrong derivative may be: the usual mistakes, recognized by comparing it with the numerical one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from optcore.derivative_report import Compared
from optcore.derivative_verdict import WRONG
from optcore.marks import Kind

__all__ = ["guess"]

Points = NDArray[np.float64]  # shape (k, m, n) for k points, m values, n params
T = TypeVar("T")
Entries = NDArray[np.bool_]  # shape (m, n)

#: Relative agreement that a guess needs at every entry and point.
CLOSE = 1e-4
#: Relative discrepancy that may be an inexact function rather than a mistake.
SLIGHT = 0.03
#: Params and values up to which all pairs of columns, or of rows, are compared.
MOST_COLUMNS = 200
#: Wrong entries up to which each is looked for among the others of its row and column.
MOST_ENTRIES = 100

#: Sentences about entries in the wrong place.
MOST_SENTENCES = 5

#: Constant factors that have an explanation.
FACTORS = {
    -1.0: "has the wrong sign",
    2.0: "is twice the derivative: a factor 1/2 is missing, or the 2 is there twice",
    0.5: "is half the derivative: a factor 2 is missing",
    -2.0: "is -2 times the derivative: sign and a factor 2 are wrong",
    -0.5: "is -1/2 times the derivative: sign and a factor 2 are wrong",
    3.0: "is 3 times the derivative: a factor 3 too much",
    1 / 3: "is 1/3 of the derivative: a factor 3 is missing",
    4.0: "is 4 times the derivative: a factor 4 too much",
    0.25: "is 1/4 of the derivative: a factor 4 is missing",
}


def guess(compared: Compared) -> list[str]:
    """One sentence for each mistake that explains wrong entries at all points; empty if nothing is wrong or known."""
    finite = np.isfinite(compared.given).all(axis=0) & np.isfinite(compared.value).all(axis=0)
    mistakes = _Mistakes(compared)
    slight = mistakes.equal(compared.given, compared.value, compared.error).all(axis=0)
    unexplained = (compared.verdict == WRONG) & finite & ~slight
    if not unexplained.any():
        return []
    sentences: list[str] = []
    for find in (mistakes.common_factor, mistakes.transposed, mistakes.shifted, mistakes.moved):
        explained, found = find(unexplained)
        if found and not (unexplained & ~explained).any():  # structural: all wrong entries, or it is another mistake
            return found
    for find in (mistakes.entry_by_entry, mistakes.moved, mistakes.unnamed_factor, mistakes.inexact):
        explained, found = find(unexplained)
        sentences += found
        unexplained = unexplained & ~explained
        if not unexplained.any():
            break
    return sentences


@dataclass
class _Mistakes:
    """Each method takes wrong entries and returns which of them it explains, and sentences that say how."""

    compared: Compared

    def equal(self, given: Points, other: Points, error: Points) -> NDArray[np.bool_]:
        """Where two derivatives agree as closely as a guess needs; the error is that of the second one."""
        with np.errstate(all="ignore"):
            gap, entry = np.abs(given - other), np.maximum(np.abs(given), np.abs(other))
            equal: NDArray[np.bool_] = gap <= CLOSE * entry + np.where(np.isfinite(error), 3 * error, 0.0)
        return equal

    def _is_factor(self, factor: Points | float) -> Entries:
        """Entries, shape (m, n), that are factor times the derivative at all points, and not zero at all of them."""
        done = self.compared
        with np.errstate(all="ignore"):
            equal = self.equal(done.given, factor * done.value, np.abs(factor) * done.error).all(axis=0)
            entries: Entries = np.asarray(equal & (np.abs(done.given) > 10 * np.abs(factor) * done.error).any(axis=0))
        return entries

    def _where(self, entries: Entries) -> str:
        """The leaves, or the entries, that a mistake concerns."""
        done = self.compared
        zero = (done.given == 0).all(axis=0) & (done.verdict != WRONG)
        names = []
        if (entries | zero).all() and len(done.entries) > 1:
            return "everywhere"
        for name, part in done.blocks:
            block = entries[:, part]
            if not block.any():
                continue
            if (block | zero[:, part]).all() and (block.sum() > 1 or block.size == 1):
                names.append(name or "params")
                continue
            columns = (block | zero[:, part]).all(axis=0) & (block.sum(axis=0) > 1)
            names += [done.entries[part.start + int(j)] for j in np.flatnonzero(columns)]
            names += [done.place(int(i), part.start + int(j)) for i, j in np.argwhere(block & ~columns)]
        shown = ", ".join(names[:5])
        return f"at {shown}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")

    # factors -------------------------------------------------------------------------------------------------------

    def _named_factors(self) -> Iterator[tuple[Points | float, str]]:
        """Factors and what they mean."""
        done = self.compared
        yield from FACTORS.items()
        k, m, n = done.given.shape
        counts = {
            m: f"number of {'residuals' if done.kind is Kind.LEAST_SQUARES else 'contributions'}",
            n: "number of params",
        }
        for number, word in counts.items():
            if number > 4 and (done.kind is not Kind.SCALAR or number == n):
                yield 1 / number, f"is 1/{number} of the derivative; {number} is the {word}"
                yield float(number), f"is {number} times the derivative; {number} is the {word}"
        if k < 2:
            return
        x, values = done.x[:, None, :], done.values[:, :, None]
        if (np.ptp(done.x, axis=0) > 0).all():
            yield x, "is the derivative with respect to the logarithm of the param"
            with np.errstate(divide="ignore"):
                yield (
                    1 / x,
                    "is the derivative divided by the param: it was meant for its logarithm, or divided once too often",
                )
        if (np.ptp(done.values, axis=0) > 1e-3 * np.abs(done.values).max(axis=0)).all():
            with np.errstate(divide="ignore"):
                yield 1 / values, "is the derivative of the logarithm of the function"
            if done.kind is not Kind.SCALAR:
                yield 2 * values, "is the derivative of the squares of the values"
            yield values, "is the derivative times the value of the function"

    def common_factor(self, wrong: Entries) -> tuple[Entries, list[str]]:
        """One factor for everything that is wrong."""
        for factor, meaning in self._named_factors():
            entries = wrong & self._is_factor(factor)
            if entries.any() and (entries == wrong).all():
                return entries, [self._factor_sentence(meaning, entries)]
        return np.zeros_like(wrong), []

    def _factor_sentence(self, meaning: str, entries: Entries) -> str:
        head, colon, rest = meaning.partition(":")
        if not colon:
            head, colon, rest = meaning.partition(";")
        half = self.compared.kind is Kind.SCALAR and meaning == FACTORS[0.5] and self._where(entries) == "everywhere"
        rest += " (the gradient of a sum of squares r'r is 2 J'r)" if half else ""
        return f"{self.compared.source} {head} {self._where(entries)}{colon}{rest}."

    def entry_by_entry(self, wrong: Entries) -> tuple[Entries, list[str]]:
        """A factor of its own for each entry, or nothing where there should be something."""
        sentences, left = [], wrong.copy()
        missing = wrong & (self.compared.given == 0).all(axis=0)
        if missing.any():
            sentences.append(f"{self.compared.source} is zero where the derivative isn't, {self._where(missing)}.")
            left &= ~missing
        for factor, meaning in self._named_factors():
            entries = left & self._is_factor(factor)
            if entries.any():
                sentences.append(self._factor_sentence(meaning, entries))
                left &= ~entries
        return wrong & ~left, sentences

    def unnamed_factor(self, wrong: Entries) -> tuple[Entries, list[str]]:
        """Any constant, if at least three numbers that aren't all the same agree on it."""
        done = self.compared
        mask = np.broadcast_to(wrong, done.given.shape) & (np.abs(done.value) > 100 * done.error)
        derivative, given = done.value[mask], done.given[mask]
        if derivative.size < 3 or np.ptp(derivative) <= 0.01 * np.abs(derivative).max():
            return np.zeros_like(wrong), []
        factor = float(np.median(given / derivative))
        entries = wrong & self._is_factor(factor)
        if not (entries == wrong).all():
            return np.zeros_like(wrong), []
        return wrong, [f"{done.source} is {factor:.6g} times the derivative {self._where(entries)}: a constant factor."]

    def inexact(self, wrong: Entries) -> tuple[Entries, list[str]]:
        """Many entries that are nearly right: the function may be the one that is inexact."""
        slight: Entries = np.all(self.compared.discrepancy < SLIGHT, axis=0, keepdims=True)[0]
        if wrong.sum() < 2 or not slight[wrong].all():
            return np.zeros_like(wrong), []
        return wrong, [
            f"{self.compared.source} is off by less than {SLIGHT:.0%} {self._where(wrong)}: perhaps the function is an "
            "approximation itself (an ODE solver, an iteration that stops early); tolerance= says how much may pass."
        ]

    # structure -----------------------------------------------------------------------------------------------------

    def transposed(self, wrong: Entries) -> tuple[Entries, list[str]]:
        """The jacobian with rows and columns exchanged."""
        done = self.compared
        m, n = wrong.shape
        if m != n or m == 1:
            return np.zeros_like(wrong), []
        if self.equal(done.given, done.value.transpose(0, 2, 1), done.error.transpose(0, 2, 1)).all():
            return wrong, [f"{done.source} is transposed: the shape must be (number of values, number of params)."]
        return np.zeros_like(wrong), []

    def shifted(self, wrong: Entries) -> tuple[Entries, list[str]]:
        """Everything one place further along the params, or along the values; the entry at the end may be anything."""
        done = self.compared
        for axis, word, step in ((2, "param", 1), (2, "param", -1), (1, "value", 1), (1, "value", -1)):
            if done.given.shape[axis] < 3:
                continue
            moved, error = np.roll(done.value, step, axis), np.roll(done.error, step, axis)
            equal = self.equal(done.given, moved, error)
            telling = (equal & (np.abs(done.given) > 10 * error)).all(axis=0) & wrong
            ends = np.moveaxis(np.zeros_like(wrong), axis - 1, 0)
            ends[0 if step == 1 else -1] = True
            free = np.moveaxis(ends, 0, axis - 1)
            if (equal.all(axis=0) | ~wrong | free).all() and telling.any(axis=2 - axis).sum() >= 2:
                which = "next" if step == 1 else "previous"
                return wrong, [f"{done.source} is shifted by one: the entry of each {word} stands at the {which} one."]
        return np.zeros_like(wrong), []

    def moved(self, wrong: Entries) -> tuple[Entries, list[str]]:
        """Columns, rows or entries that stand in the place of others."""
        done, sentences = self.compared, list[str]()
        explained: Entries = np.zeros(wrong.shape, dtype=bool)
        for names, transpose in ((done.entries, False), (done.rows, True)):
            axes = (0, 2, 1) if transpose else (0, 1, 2)
            given, value, error = (array.transpose(axes) for array in (done.given, done.value, done.error))
            lines = np.flatnonzero((wrong & ~explained).any(axis=1 if transpose else 0))
            if len(names) < 2 or len(names) > MOST_COLUMNS:
                continue
            sources = {int(j): self._only_match(given[:, :, j], value, error, skip=int(j)) for j in lines}
            found = {j: k for j, k in sources.items() if k is not None}
            sentences += _swaps(found, names.__getitem__, done.source)
            for j in found:
                (explained.T if transpose else explained)[:, j] = True
        left = wrong & ~explained
        if done.rows and 0 < left.sum() <= MOST_ENTRIES:
            entries = {(int(i), int(j)): self._entry_source(int(i), int(j)) for i, j in np.argwhere(left)}
            places = {place: source for place, source in entries.items() if source is not None}
            sentences += _swaps(places, lambda place: done.place(*place), done.source)
            for i, j in places:
                explained[i, j] = True
        return explained & wrong, sentences

    def _entry_source(self, i: int, j: int) -> tuple[int, int] | None:
        """Where in the derivative the value of an entry belongs, in its row or column."""
        done = self.compared
        column = self._only_match(done.given[:, i : i + 1, j], done.value[:, i : i + 1], done.error[:, i : i + 1], j)
        if column is not None:
            return i, column
        value, error = done.value[:, :, j : j + 1].transpose(0, 2, 1), done.error[:, :, j : j + 1].transpose(0, 2, 1)
        row = self._only_match(done.given[:, i : i + 1, j], value, error, i)
        return None if row is None else (row, j)

    def _only_match(self, line: Points, value: Points, error: Points, skip: int) -> int | None:
        """The only column of value, shape (k, m, n), that equals line, shape (k, m), and isn't zero."""
        equal = self.equal(line[:, :, None], value, error) & np.isfinite(line).all()
        matches = equal.all(axis=(0, 1)) & (np.abs(line[:, :, None]) > 10 * error).any(axis=(0, 1))
        found = [int(j) for j in np.flatnonzero(matches) if j != skip]
        return found[0] if len(found) == 1 else None


def _swaps(found: dict[T, T], name: Callable[[T], str], source: str) -> list[str]:
    """Sentences for entries that stand in the place of others: pairs that are swapped, and single ones."""
    sentences = []
    for place, origin in found.items():
        if found.get(origin) == place:
            if list(found).index(place) < list(found).index(origin):
                sentences.append(f"{source}: {name(place)} and {name(origin)} are swapped.")
        else:
            sentences.append(f"{source} at {name(place)} is what belongs to {name(origin)}.")
    more = len(sentences) - MOST_SENTENCES
    return (
        [*sentences[:MOST_SENTENCES], f"{source} has {more} more entries in the wrong place."]
        if more > 0
        else sentences
    )
