"""Measuring side by side: two things take turns in one run, and their medians make a ratio."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """A measured ratio and the bound that it must keep."""

    name: str
    ours: float
    theirs: float
    unit: str
    bound: float
    at_least: bool = False

    @property
    def value(self) -> float:
        return self.ours / self.theirs

    @property
    def kept(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        mark, sign = "✓" if self.kept else "✗", ">=" if self.at_least else "<="
        figures = f"{self.ours:10.1f} to {self.theirs:10.1f} {self.unit:<6}"
        return f"  {mark} {self.name:<34} {figures} = {self.value:5.2f}  ({sign} {self.bound})"


def in_turns(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int
) -> tuple[float, float]:
    """The medians of two measurements that take turns, after one of each to warm up."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
