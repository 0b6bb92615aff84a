"""What there is to know of an algorithm, read from its class: for the command line and for ALGORITHMS.md."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from optcore.solvers.algorithm import Algorithm
from optcore.solvers.options import OPTIONS

__all__ = ["Documentation", "OptionDocumentation", "algorithms_page", "document"]

_YEAR = re.compile(r"\((1[89]|20)\d\d\)")


@dataclass(frozen=True)
class OptionDocumentation:
    """An option of an algorithm.

    Attributes:
        name: of the field.
        default: its default, as Python writes it.
        meaning: one sentence, "" if nobody wrote one.
        aliases: further names.
        library_name: what the library calls it, where that is something else.
    """

    name: str
    default: str
    meaning: str
    aliases: tuple[str, ...]
    library_name: str | None


@dataclass(frozen=True)
class Documentation:
    """An algorithm.

    Attributes:
        name: what users call it.
        description: what it is.
        reference: where it is from, "" if nobody wrote it down.
        options: all that it takes.
        tight: its strictest tolerances.
        kind, needs_jac, supports_bounds, needs_bounds, is_global, is_deterministic, library, extra: see Algorithm.
    """

    name: str
    description: str
    reference: str
    options: tuple[OptionDocumentation, ...]
    tight: Mapping[str, float]
    kind: str
    needs_jac: bool
    supports_bounds: bool
    needs_bounds: bool
    is_global: bool
    is_deterministic: bool
    library: str
    extra: str | None


def document(cls: type[Algorithm]) -> Documentation:
    """Read the class and its docstring.

    >>> from optcore.solvers import get_algorithm
    >>> document(get_algorithm("scipy_bfgs")).reference
    'Nocedal & Wright (2006), Numerical Optimization, algorithm 6.1.'
    """
    description, reference = _description_and_reference(cls)
    return Documentation(
        name=cls.name,
        description=description,
        reference=reference,
        options=tuple(_options(cls)),
        tight=dict(cls.tight),
        kind=cls.kind.value,
        needs_jac=cls.needs_jac,
        supports_bounds=cls.supports_bounds,
        needs_bounds=cls.needs_bounds,
        is_global=cls.is_global,
        is_deterministic=cls.is_deterministic,
        library=cls.library,
        extra=cls.extra,
    )


def _options(cls: type[Algorithm]) -> Iterable[OptionDocumentation]:
    own: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        own.update(_arguments(_sections(base).get("Args", "")))
    for option in fields(cls):
        default = option.default if option.default_factory is MISSING else option.default_factory()
        shared = OPTIONS.get(option.name)
        meaning = own.get(option.name) or (shared.meaning if shared else "")
        library_name = cls.library_names.get(option.name)
        yield OptionDocumentation(
            name=option.name,
            default="required" if default is MISSING else _written(default),
            meaning=meaning.rstrip("."),
            aliases=tuple(alias for alias, name in cls.aliases.items() if name == option.name),
            library_name=None if library_name == option.name else library_name,
        )


def _written(value: Any) -> str:
    """A value as users write it."""
    return "inf" if value == float("inf") else "-inf" if value == -float("inf") else repr(value)


def _description_and_reference(cls: type[Algorithm]) -> tuple[str, str]:
    """From the docstring: its paragraphs, and what is under References, or else the part that has a year."""
    sections = _sections(cls)
    paragraphs = [_one_line(paragraph) for paragraph in sections.get("", "").split("\n\n") if paragraph.strip()]
    if "References" in sections:
        return " ".join(paragraphs), _one_line(sections["References"])
    for i, paragraph in enumerate(paragraphs):
        if _YEAR.search(paragraph):
            what, colon, source = paragraph.partition(": ")
            if colon and _YEAR.search(source):
                return " ".join([*paragraphs[:i], f"{what}.", *paragraphs[i + 1 :]]), source
            return " ".join(paragraphs[:i] + paragraphs[i + 1 :]), paragraph
    return " ".join(paragraphs), ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _sections(cls: type) -> dict[str, str]:
    """The sections of a docstring in Google's style by their titles; what comes before them under ""."""
    sections: dict[str, list[str]] = {"": []}
    title = ""
    for line in inspect.cleandoc(cls.__doc__ or "").splitlines():
        if re.fullmatch(r"[A-Z]\w+( \w+)?:", line):
            title = line[:-1]
            sections[title] = []
        else:
            sections[title].append(line)
    return {name: textwrap.dedent("\n".join(lines)).strip() for name, lines in sections.items()}


def _arguments(section: str) -> dict[str, str]:
    """Meaning by name, from a section of arguments."""
    meanings: dict[str, str] = {}
    for entry in re.split(r"\n(?=\w)", section):
        name, colon, meaning = entry.partition(":")
        if colon:
            meanings[name.strip()] = _one_line(meaning)
    return meanings


# the page ------------------------------------------------------------------------------------------------------------


def algorithms_page(algorithms: Iterable[type[Algorithm]]) -> str:
    """All algorithms with their options as a page in Markdown."""
    documented = [document(cls) for cls in algorithms]
    kinds: dict[str, Callable[[Documentation], bool]] = {
        "Local solvers of scalar functions": lambda d: d.kind == "scalar" and not d.is_global,
        "Least-squares solvers": lambda d: d.kind == "least_squares",
        "Global solvers": lambda d: d.kind == "scalar" and d.is_global,
    }
    parts = [_HEAD]
    for title, belongs in kinds.items():
        parts.append(_overview(title, [d for d in documented if belongs(d)]))
    parts.append("## Every algorithm with its options\n")
    parts.extend(_algorithm(d) for d in documented)
    return "\n".join(parts)


_HEAD = """# Algorithms

Written by `python -m optcore.solvers`; don't edit. `optcore list algorithms --details` prints the same, and those of
optimagic where it is installed.

Options are given by name, `algo_options={"convergence_gtol_abs": 1e-8}`, or in Python as
`algorithm=om.algos.scipy_lbfgsb(convergence_gtol_abs=1e-8)`. *Strictest* are the values that a study with
`stopping="tight"` uses, so that the budget ends a run. An algorithm of a library that is an extra is installed with it:
`pip install 'optcore[nlopt]'`.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _yes(value: bool) -> str:
    return "yes" if value else ""


def _overview(title: str, documented: list[Documentation]) -> str:
    rows = [
        f"| [`{d.name}`](#{d.name}) | {d.description.split('. ')[0].rstrip('.')} | {_yes(d.needs_jac)} | "
        f"{'needed' if d.needs_bounds else _yes(d.supports_bounds)} | {d.extra or ''} |"
        for d in documented
    ]
    head = ["| algorithm | what it is | derivative | bounds | extra |", "|---|---|---|---|---|"]
    return "\n".join([f"## {title}\n", *head, *rows, ""])


def _algorithm(d: Documentation) -> str:
    facts = [f"library {d.library}" + (f" (extra `{d.extra}`)" if d.extra else "")]
    facts += ["uses a derivative"] if d.needs_jac else ["no derivative"]
    facts += ["needs bounds"] if d.needs_bounds else ["takes bounds"] if d.supports_bounds else ["no bounds"]
    facts += ["global"] if d.is_global else []
    facts += [] if d.is_deterministic else ["random"]
    lines = [f"### {d.name}\n", f"{d.description}\n", f"*{d.reference}*\n", "; ".join(facts).capitalize() + ".\n"]
    lines += ["| option | default | strictest | meaning |", "|---|---|---|---|"]
    for o in d.options:
        strictest = f"`{d.tight[o.name]!r}`" if o.name in d.tight else ""
        lines.append(f"| `{o.name}` | `{o.default}` | {strictest} | {_cell(meaning(o, d.library))} |")
    return "\n".join([*lines, ""])


def meaning(option: OptionDocumentation, library: str) -> str:
    """What an option means, with its other names, here and in the library."""
    text = option.meaning
    if option.library_name:
        text += f" (`{option.library_name}` in {library})"
    if option.aliases:
        text += f"; also called {', '.join(f'`{alias}`' for alias in option.aliases)}"
    return text
