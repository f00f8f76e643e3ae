"""What a replay is asked to do: its topics in order, and its name."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from consumer.cli.work.ranges import wrong

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.kafka.ranges import LogRange
    from consumer.replay.tally import ReplayPolicy
    from consumer.settings import Settings

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What was asked for; ``limit`` in records, ``older``: also what the service may have forgotten."""

    topics: tuple[str, ...]
    policy: ReplayPolicy
    wanted: LogRange
    replay_id: str
    limit: int | None
    dry_run: bool
    older: bool


def ordered_topics(settings: Settings, names: Sequence[str]) -> list[str]:
    """The topics in the order of a replay: cancellations last, or they would miss what they are to cancel.

    Raises:
        CommandError: One is no command topic.
    """
    known = list(settings.command_topics.values())
    for name in names:
        if name not in known:
            raise wrong(f"{name} is no command topic; replay one of {', '.join(known)}")
    return [topic for topic in known if topic in names]


def default_replay_id(topics: Sequence[str], wanted: LogRange) -> str:
    """A name that the same topics and range give again, whenever they are asked for."""
    said = [
        *(sorted(set(topics)), wanted.since and wanted.since.timestamp(), wanted.until and wanted.until.timestamp()),
        *(sorted(wanted.first.items()), sorted(wanted.last.items())),
    ]
    return f"r-{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]}"


def checked_replay_id(text: str) -> str:
    """The id as given.

    Raises:
        CommandError: It does not fit an identity.
    """
    if not _ID.fullmatch(text):
        raise wrong(f"--replay-id is {text!r}; it must be 1 to 64 of A-Z a-z 0-9 . _ -")
    return text
