"""Chance that falls the same way on every machine and every Python.

`random` promises that of `random()` alone, not of `choice` or `sample`, so everything here rests on it.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Throws that depend on the seed only."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random  # noqa: S311  a catalogue is no secret

    def chance(self, share: float) -> bool:
        """True in this share of the throws, 0 to 1."""
        return self._random() < share

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[int(self._random() * len(choices))]

    def some(self, choices: Sequence[T], at_most: int) -> list[T]:
        """None to `at_most` of them, in their order."""
        share = self._random() * at_most / len(choices)
        return [choice for choice in choices if self._random() < share][:at_most]

    def tenths(self, low: int, high: int) -> float:
        """A number with one digit behind the point."""
        return self.number(low * 10, high * 10) / 10
