"""What there is to measure: parts of the table, each measured by a module of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Part:
    """Lines that are measured together.

    Attributes:
        module: What measures them.
        names: Their names in the table and in ``build/bench.json``.
        seconds: What all rounds share and what each adds, at full size on two quiet cores: about, to say what is left.
        rounds: No more than these, however many are asked for: what takes minutes, or hardly varies.
        unit: How the unit of its lines begins, where several parts measure one name.
        asked: It runs only when a row of this name is asked for; the name of its lines is another one.
    """

    module: str
    names: tuple[str, ...]
    seconds: tuple[float, float]
    rounds: int | None = None
    unit: str = ""
    asked: str | None = None

    def rounds_of(self, wanted: int) -> int:
        """How many rounds it has when so many are asked for."""
        return wanted if self.rounds is None else min(wanted, self.rounds)

    def expected(self, wanted: int) -> float:
        """Seconds at full size."""
        once, each = self.seconds
        return once + each * self.rounds_of(wanted)

    def owns(self, line: Mapping[str, Any]) -> bool:
        """Whether a line of ``build/bench.json`` is one that this part measures, or says that it has failed."""
        rivals = (part for part in PARTS if line["name"] in part.names and line["unit"].startswith(part.unit))
        return max(rivals, key=lambda part: len(part.unit), default=None) is self


PARTS: Final = (
    Part("intake", ("intake",), (0, 65)),
    Part("ack", ("ack_p50", "ack_p99"), (0, 64)),
    Part("noop", ("noop",), (0, 30)),
    Part("step_log", ("step_log",), (0, 12)),
    Part("results", ("results",), (15, 15)),
    Part("series", ("series",), (20, 6)),
    Part("predict", ("predict",), (40, 70), unit="s"),
    Part("predict_trained", ("predict",), (130, 40), unit="s, trained"),
    Part("scale_out", ("scale_out",), (0, 95)),
    Part("growth", ("growth",), (60, 60)),
    Part("start", ("start_help", "start_run"), (0, 12)),
    Part("rss", ("memory",), (0, 420), rounds=1, unit="MB"),
    Part("memory", ("memory",), (0, 1500), rounds=1, unit="MB, peak", asked="memory_peak"),
)
ROWS: Final = tuple(
    dict.fromkeys(name for part in PARTS for name in ((part.asked,) if part.asked is not None else part.names))
)


def parts_of(rows: Iterable[str]) -> Sequence[Part]:
    """The parts that measure some rows, or, without a row, all that need not be asked for."""
    wanted = frozenset(rows)
    if not wanted:
        return [part for part in PARTS if part.asked is None]
    return [part for part in PARTS if not wanted.isdisjoint(part.names if part.asked is None else (part.asked,))]
