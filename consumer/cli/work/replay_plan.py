"""What a replay is asked to do: its topics in order, its name, and the question before it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from consumer.cli.failure import say
from consumer.cli.work.progress import confirm
from consumer.cli.work.ranges import wrong
from consumer.replay.tally import ReplayPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.kafka.ranges import LogRange
    from consumer.settings import Settings

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RERUN_WARNING: Final = (
    "a rerun makes a new execution of every command in the range that has one; planning reads the newest FORECAST "
    "that is CONCLUIDO, so a predict that runs again takes the place of those that came after it."
)
_OLDER_WARNING: Final = (
    "of commands older than keep_days the service may have forgotten that they ran: with --older those run again, and "
    "a predict that runs again takes the place of those that came after it; --dry-run shows how many would run."
)


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


def ask_before(plan: ReplayPlan, topics: Sequence[str], *, yes: bool) -> None:
    """Say what running commands again means, and go on only if it is wanted.

    Raises:
        CommandError: Nobody is there to be asked, and ``--yes`` was not given.
        typer.Abort: The answer is no.
    """
    names = ", ".join(topics)
    if plan.policy is ReplayPolicy.RERUN:
        say(f"replay id {plan.replay_id}: again with it makes nothing new; another --replay-id runs them once more")
        if not plan.dry_run:
            say(_RERUN_WARNING)
            confirm(f"Run the commands of {names} again?", yes=yes)
    elif plan.policy is ReplayPolicy.MISSING and plan.older and not plan.dry_run:
        say(_OLDER_WARNING)
        confirm(f"Run the older commands of {names} nevertheless?", yes=yes)
