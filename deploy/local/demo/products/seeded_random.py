"""Random values that are the same on every machine and Python version.

Python guarantees that only for `random()`, not for `choice` or `sample`, so everything here is derived from it.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class SeededRandom:
    """Values that depend only on the seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random  # noqa: S311  a catalogue is no secret

    def chance(self, share: float) -> bool:
        """True with this probability, 0 to 1."""
        return self._random() < share

    def number(self, low: int, high: int) -> int:
        """An integer from low to high, inclusive."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[int(self._random() * len(choices))]

    def some(self, choices: Sequence[T], at_most: int) -> list[T]:
        """Up to `at_most` of the choices, in order."""
        share = self._random() * at_most / len(choices)
        return [choice for choice in choices if self._random() < share][:at_most]

    def tenths(self, low: int, high: int) -> float:
        """A number with one decimal place."""
        return self.number(low * 10, high * 10) / 10
