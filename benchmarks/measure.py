"""Rounds and medians; nothing here knows what is measured."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from benchmarks.progress import Progress

    Contestant = Callable[[], Awaitable[Mapping[str, float]]]

REASON: Final = 200  # characters of each end of a failure
OURSELVES: Final = "self"  # the peer where the service is compared with itself


@dataclass(slots=True)
class Series:
    """One number of one contestant, round after round; ``failure`` is why there are no more of them."""

    values: list[float] = field(default_factory=list)
    failure: str | None = None

    @property
    def median(self) -> float | None:
        """None without a round, and where a round has failed: half a run is no result."""
        return statistics.median(self.values) if self.values and self.failure is None else None

    @property
    def range(self) -> tuple[float, float] | None:
        """The lowest and the highest round."""
        return (min(self.values), max(self.values)) if self.values else None


@dataclass(frozen=True, slots=True)
class Result:
    """A line of the table, as ``build/bench.json`` has it.

    Attributes:
        ratio: ``value / peer_value``; for rates more is better, for times and sizes less.
        runs: Rounds that count on both sides.
        spread: The lowest and the highest round of each side.
    """

    name: str
    peer: str
    value: float | None
    peer_value: float | None
    unit: str
    ratio: float | None
    runs: int
    spread: dict[str, tuple[float, float] | None]
    failure: str | None = None

    @property
    def ours_failed(self) -> bool:
        """Whether a side that is the service itself has no number."""
        return self.value is None or (self.peer == OURSELVES and self.peer_value is None)

    def to_json(self) -> dict[str, Any]:
        """Without the failure, which a null value stands for."""
        return {name: value for name, value in asdict(self).items() if name != "failure"}


def compare(name: str, peer: str, unit: str, ours: Series, theirs: Series) -> Result:
    """Ours against one peer; a side that failed leaves value and ratio empty and says why."""
    value, peer_value = ours.median, theirs.median
    return Result(
        name,
        peer,
        value,
        peer_value,
        unit,
        value / peer_value if value is not None and peer_value else None,
        min(len(ours.values), len(theirs.values)),
        {"value": ours.range, "peer_value": theirs.range},
        ours.failure or theirs.failure,
    )


def failed(name: str, failure: str, unit: str = "-") -> Result:
    """A row that could not be measured at all."""
    return Result(name, "-", None, None, unit, None, 0, {"value": None, "peer_value": None}, failure)


async def alternate(
    contestants: Mapping[str, Contestant], rounds: int, progress: Progress
) -> dict[str, defaultdict[str, Series]]:
    """Let everybody run once a round, each round begun by another one; what each measured, by contestant and number.

    Who fails is left out from then on, and every number of theirs says why.
    """
    measured: dict[str, defaultdict[str, Series]] = {name: defaultdict(Series) for name in contestants}
    left = list(contestants)
    for number in range(1, rounds + 1):
        for name in [*left[number - 1 :], *left[: number - 1]] if number <= len(left) else list(left):
            progress.turn(number, rounds, name)
            try:
                numbers = await contestants[name]()
            except Exception as error:  # noqa: BLE001 - a peer may fail in any way; the table says so
                failure = f"{type(error).__name__}: {_shortened(str(error).strip())}"
                progress.ended(failure)
                measured[name] = _all_failed(measured[name], f"{name}: {failure}")
                left.remove(name)
                continue
            for key, value in numbers.items():
                measured[name][key].values.append(value)
            progress.ended(", ".join(f"{key} {value:,.4g}" for key, value in numbers.items()))
    return measured


def _shortened(reason: str) -> str:
    """Both ends: what did not happen comes first, and the last that a process has logged comes last."""
    return reason if len(reason) <= 2 * REASON else f"{reason[:REASON]} … {reason[-REASON:]}"


def _all_failed(numbers: Mapping[str, Series], failure: str) -> defaultdict[str, Series]:
    broken = {key: Series(series.values, failure) for key, series in numbers.items()}
    return defaultdict(lambda: Series([], failure), broken)
