"""Measuring side by side: two things take turns in one run, and their pairs make a ratio."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Self

Pair = tuple[float, float]


@dataclass(frozen=True)
class Ratio:
    """A measured ratio and the bound that it must keep."""

    name: str
    ours: float
    theirs: float
    value: float
    unit: str
    bound: float
    at_least: bool = False

    @classmethod
    def of(
        cls, name: str, pairs: Iterable[Pair], unit: str, bound: float, *, at_least: bool = False
    ) -> Self:
        """The median of the ratios of `pairs`: what slows the machine for a while slows both."""
        ours, theirs = zip(*pairs, strict=True)
        value = median(one / other for one, other in zip(ours, theirs, strict=True))
        return cls(name, median(ours), median(theirs), value, unit, bound, at_least)

    @property
    def kept(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        mark, sign = "✓" if self.kept else "✗", ">=" if self.at_least else "<="
        figures = f"{self.ours:10.1f} to {self.theirs:10.1f} {self.unit:<6}"
        return f"  {mark} {self.name:<34} {figures} = {self.value:5.2f}  ({sign} {self.bound})"


def in_turns(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> list[Pair]:
    """Two measurements that take turns, after one of each to warm up."""
    ours(), theirs()
    return [(ours(), theirs()) for _ in range(rounds)]
