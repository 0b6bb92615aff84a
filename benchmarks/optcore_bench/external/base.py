"""What a solver is to a study whose code doesn't run in the process of the harness."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from optcore.solvers import Algorithm, CallableAlgorithm

__all__ = ["External", "plain_options", "with_seed"]


class External(ABC):
    """Stands where an entry of a study names an algorithm."""

    @property
    @abstractmethod
    def default_name(self) -> str:
        """What rows call it where the study doesn't say."""

    @property
    @abstractmethod
    def file(self) -> str:
        """The file of the user's own that decides what it does; "" for none."""

    @abstractmethod
    def make(self, options: Mapping[str, Any], *, tight: bool, seed: int) -> Algorithm:
        """An algorithm of this process that hands on what is asked.

        Args:
            options: the user's.
            tight: whether tolerances that the user doesn't give are the strictest ones.
            seed: where one is taken.

        Raises:
            InvalidInputError: it can't be used.
        """

    @abstractmethod
    def to_plain(self) -> dict[str, Any]:
        """Its keys in the table of an algorithm, as TOML has them."""

    @abstractmethod
    def code(self, options: Mapping[str, Any], version: str) -> dict[str, Any]:
        """What decides its numbers beside options: plain values for the ids of runs.

        Args:
            options: the user's.
            version: the user's, which stands for a hash of the code; "" for none.
        """

    @abstractmethod
    def environment(self, options: Mapping[str, Any]) -> dict[str, str]:
        """What its rows say of where it runs, beside the fingerprint of the harness."""


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by the names of fields and arguments: a dot in a name, as some write them, is an underscore.

    >>> plain_options({"stopping.maxiter": 5})
    {'stopping_maxiter': 5}
    """
    return {name.replace(".", "_"): value for name, value in options.items()}


def with_seed(made: CallableAlgorithm, seed: int) -> CallableAlgorithm:
    """A function with the seed among its options, where it asks for one and the user gave none."""
    takes_seed = "seed" in made.asks_for and "seed" not in made.options
    return CallableAlgorithm(made.function, {**made.options, "seed": seed}) if takes_seed else made
