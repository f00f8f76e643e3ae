"""Named places at which a process can be made to kill itself, for the proof of the guarantees.

``FORECAST_FAILPOINT=name`` or ``name:hits`` arms one: at the given hit (1 is the first) the process ends by SIGKILL,
as if the machine had taken it away. ``FORECAST_FAILPOINT_LOG`` names a file that gets a line just before. Without the
variable a failpoint costs one comparison.
"""

from __future__ import annotations

import os
import signal
from itertools import count
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

Failpoint = Literal[
    "before_inbox_commit",
    "after_inbox_commit",
    "before_offset_commit",
    "after_claim",
    "in_chunk",
    "before_chunk_commit",
    "after_chunk_commit",
    "before_terminal_commit",
    "after_terminal_commit",
    "before_outbox_delete",
    "in_rebalance",
    "in_drain",
]
# On the way to a trained model: commands on few products, as a chaos run sends, never come there.
TrainingFailpoint = Literal["after_checkpoint", "in_fit"]
FAILPOINTS: Final[tuple[Failpoint, ...]] = get_args(Failpoint)
_KNOWN: Final = (*FAILPOINTS, *get_args(TrainingFailpoint))

VARIABLE: Final = "FORECAST_FAILPOINT"
LOG_VARIABLE: Final = "FORECAST_FAILPOINT_LOG"


def armed(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """The failpoint that the environment names and the hit at which it fires; None without one.

    Raises:
        ValueError: There is no such failpoint, or the number of hits is none.
    """
    given = environment.get(VARIABLE)
    if not given:
        return None
    name, _, hits = given.partition(":")
    if name not in _KNOWN:
        raise ValueError(f"{VARIABLE} is {given!r}; it must be one of {', '.join(_KNOWN)}, with :hits or without")
    if hits and (not hits.isdecimal() or int(hits) == 0):
        raise ValueError(f"{VARIABLE} is {given!r}; the hits after the colon must be 1 or more")
    return name, int(hits or 1)


_ARMED: Final = armed(os.environ)
_hits = count(1)


def reach(name: Failpoint | TrainingFailpoint) -> None:
    """Die here if this failpoint is the armed one and it is its turn."""
    if _ARMED is None:
        return
    if name == _ARMED[0] and next(_hits) == _ARMED[1]:
        _die(name)


def _die(name: str) -> None:
    log = os.environ.get(LOG_VARIABLE)
    if log:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(file, f"{name}\n".encode())
        os.close(file)
    os.kill(os.getpid(), signal.SIGKILL)
