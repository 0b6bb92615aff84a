"""NIST's files: a header of 60 lines with starts and certified values, then the observations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Self

import numpy as np
from numpy.typing import NDArray

from optcore_problems.problem import Certified

__all__ = ["Dataset", "observations"]

Vector = NDArray[np.float64]

_HEADER_LINES = 60
_LABEL = re.compile(r"([A-Z][A-Za-z ]*):\s*(.*)")
_PARAMETER = re.compile(r"\s*b\d\s*=" + 4 * r"\s+(\S+)")
_SOURCE = "NIST, with 11 digits"


@dataclass(frozen=True, eq=False)
class Dataset:
    """What the header of a file says.

    Attributes:
        name: NIST's name, as "Misra1a".
        level: of difficulty, as NIST sees it: "lower", "average" or "higher".
        model_class: "exponential", "rational" or "miscellaneous".
        kind: "observed" or "generated", where the observations come from.
        m: number of observations.
        starts: the two starts, the first far from the solution, the second near, each of shape (n,).
        certified: the certified estimates, standard deviations and sum of squares.
        description: where the observations come from, and the model.
        reference: where they were published.
    """

    name: str
    level: str
    model_class: str
    kind: str
    m: int
    starts: tuple[Vector, Vector]
    certified: Certified
    description: str
    reference: str

    @classmethod
    def read(cls, name: str) -> Self:
        """The header of the file that ships under that name.

        >>> Dataset.read("Misra1a").certified.params.tolist()
        [238.94212918, 0.00055015643181]
        """
        lines = _lines(name)[:_HEADER_LINES]
        sections = _sections(lines)
        about, model = "\n".join(sections["Data"]), sections["Model"]
        rows = [found.groups() for line in model if (found := _PARAMETER.match(line))]
        first, second, params, std = (
            np.array([float(number) for number in column]) for column in zip(*rows, strict=True)
        )
        formula = [line.strip() for line in model[2 : _first(model, "Starting")]]
        return cls(
            name=name,
            level=_word(r"(\w+) Level of Difficulty", about),
            model_class=_word(r"(\w+) Class", model[0]),
            kind=_word(r"(\w+) Data", about),
            m=int(_word(r"(\d+) Observations", about)),
            starts=(first, second),
            certified=Certified(params, std, float(sections["Residual Sum of Squares"][0]), _SOURCE),
            description="\n".join([*_paragraph(sections["Description"]), "", *(line for line in formula if line)]),
            reference=" ".join(" ".join(sections["Reference"]).split()),
        )


@cache
def observations(name: str) -> tuple[Vector, Vector]:
    """The observations of a data set, read at the first call.

    Args:
        name: NIST's name of the data set.

    Returns:
        The response, shape (m,); its logarithm for Nelson, whose model is one of log(y). The predictor, shape (m,),
        or (2, m) for Nelson, who has two. Both are read-only.

    >>> y, x = observations("BoxBOD")
    >>> y.tolist(), x.tolist()
    ([109.0, 149.0, 149.0, 191.0, 213.0, 224.0], [1.0, 2.0, 3.0, 5.0, 7.0, 10.0])
    """
    rows = [line.split() for line in _lines(name)[_HEADER_LINES:] if line.strip()]
    y, *predictors = np.array([[float(number) for number in row] for row in rows]).T
    y = np.log(y) if name == "Nelson" else y.copy()
    x = predictors[0].copy() if len(predictors) == 1 else np.stack(predictors)
    y.flags.writeable = x.flags.writeable = False
    return y, x


def _lines(name: str) -> list[str]:
    return (files(__package__) / "files" / f"{name}.dat").read_text(encoding="ascii").splitlines()


def _sections(lines: list[str]) -> dict[str, list[str]]:
    """Lines by the label before them; where a label comes twice, the first."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if found := _LABEL.match(line):
            current = [found[2]]
            sections.setdefault(found[1], current)
        else:
            current.append(line)
    return sections


def _paragraph(lines: list[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]


def _first(lines: list[str], word: str) -> int:
    return next(number for number, line in enumerate(lines) if line.strip().startswith(word))


def _word(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, f"no {pattern!r} in {text!r}"
    return found[1].lower()
