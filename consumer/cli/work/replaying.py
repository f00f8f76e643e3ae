"""``replay``: from options to a policy, and every record of the range through it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from consumer.cli.failure import CommandError, say
from consumer.cli.work.connecting import open_database
from consumer.cli.work.loading import load_for_tool
from consumer.cli.work.printing import print_json, print_table
from consumer.cli.work.progress import progress_bar
from consumer.cli.work.ranges import check_partitions, wrong
from consumer.cli.work.replay_plan import ask_before, ordered_topics
from consumer.client.partitions import partitions_of
from consumer.clock import SystemClock
from consumer.db.inbox import SqlInbox
from consumer.db.replays import SqlReplayStore
from consumer.errors import TransientError
from consumer.execution_ids import ExecutionIds
from consumer.exit_codes import ExitCode
from consumer.intake import Intake
from consumer.kafka.ranges import BrokerAwayError, RangeReader
from consumer.outbound import Composer
from consumer.replay.missing import PreviewMissing, RunMissing
from consumer.replay.reemit import ReemitEvents
from consumer.replay.rerun import RunAgain
from consumer.replay.tally import ReplayPolicy, Tally
from consumer.startup import check_database
from consumer.telemetry.logs import get_logger
from consumer.wiring import kinds_of, topics_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from consumer.cli.work.replay_plan import ReplayPlan
    from consumer.db.database import Database
    from consumer.settings import Settings
    from schemas.records import RawRecord

_COLUMNS: Final = {
    ReplayPolicy.MISSING: ("records", "run", "duplicates", "cancels", "too_old", "bad", "new_letters"),
    ReplayPolicy.REEMIT: ("records", "reemitted", "events", "duplicates", "running", "never_ran", "cancels", "bad"),
    ReplayPolicy.RERUN: ("records", "run", "duplicates", "never_ran", "cancels", "bad"),
}


class Policy(Protocol):
    """What becomes of the records of a range."""

    async def take(self, records: Sequence[RawRecord]) -> Tally:
        """Deal with one batch."""
        ...


def replay_from_options(plan: ReplayPlan, *, yes: bool, as_json: bool) -> None:
    """Replay, and say what became of the records of each topic.

    Raises:
        CommandError: An option is wrong, or the database or broker is away.
    """
    settings = load_for_tool()
    topics = ordered_topics(settings, plan.topics)
    if len(topics) > 1 and (plan.wanted.first or plan.wanted.last):
        raise wrong("--from-offset and --to-offset are of one topic; name one TOPIC")
    ask_before(plan, topics, yes=yes)
    tallies = asyncio.run(_replay(settings, plan, topics, quiet=as_json))
    _show(plan, tallies, as_json=as_json)


async def _replay(settings: Settings, plan: ReplayPlan, topics: list[str], *, quiet: bool) -> dict[str, Tally]:
    found = await partitions_of(settings, topics)
    for option, offsets in (("--from-offset", plan.wanted.first), ("--to-offset", plan.wanted.last)):
        check_partitions(topics[0], found[topics[0]], ((option, partition) for partition in offsets))
    async with open_database() as database, RangeReader(settings, found, plan.wanted) as reader:
        # What intake cannot write it refuses record by record: a missing column would refuse them all. A dry run
        # looks commands up in the same tables.
        at_once = settings.model_copy(update={"startup_wait_seconds": 0.0})
        await check_database(database, at_once, SystemClock(), get_logger("replay"))
        policy = _policy(settings, plan, database)
        total = reader.total if plan.limit is None else min(reader.total, plan.limit)
        with progress_bar(f"replay {plan.policy}", total, quiet=quiet) as advance:
            try:
                return await _read_topics(reader, topics, policy, plan.limit, advance)
            except BrokerAwayError:
                raise
            except TransientError as error:
                message = f"{error}; what was done stays done, the same replay again does the rest"
                raise CommandError(message, exit_code=ExitCode.DATABASE) from error


async def _read_topics(
    reader: RangeReader, topics: list[str], policy: Policy, limit: int | None, advance: Callable[[int], None]
) -> dict[str, Tally]:
    tallies = dict.fromkeys(topics, Tally())
    left = limit
    for topic in topics:
        async with aclosing(reader.read(topic)) as pieces:
            async for piece in pieces:
                records = piece.records if left is None else piece.records[:left]
                if records:
                    tallies[topic] += await policy.take(records)
                advance(piece.passed if left is None else len(records))
                left = None if left is None else left - len(records)
                if left == 0:
                    return tallies
    return tallies


def _policy(settings: Settings, plan: ReplayPlan, database: Database) -> Policy:
    composer, kinds, new_id = Composer(topics_of(settings)), kinds_of(settings), ExecutionIds()
    inbox, store = SqlInbox(database, composer, SystemClock()), SqlReplayStore(database, composer)
    if plan.policy is ReplayPolicy.REEMIT:
        return ReemitEvents(store, kinds, new_id, dry_run=plan.dry_run)
    if plan.policy is ReplayPolicy.RERUN:
        return RunAgain(inbox, store, kinds, new_id, plan.replay_id, dry_run=plan.dry_run)
    remembered = SystemClock().now() - timedelta(days=settings.keep_days)
    oldest = None if plan.older else int(remembered.timestamp() * 1000)
    if plan.dry_run:
        return PreviewMissing(inbox, store, kinds, new_id, oldest)
    return RunMissing(Intake(inbox, kinds, new_id), oldest)


def _show(plan: ReplayPlan, tallies: dict[str, Tally], *, as_json: bool) -> None:
    columns = _COLUMNS[plan.policy]
    if as_json:
        counts = [{"topic": topic, **asdict(tally)} for topic, tally in tallies.items()]
        head = {"policy": plan.policy, "replay_id": plan.replay_id, "dry_run": plan.dry_run}
        print_json({**head, "topics": counts})
        return
    rows = [(topic, *(getattr(tally, name) for name in columns)) for topic, tally in tallies.items()]
    title = f"{plan.policy}: what would happen" if plan.dry_run else f"{plan.policy}: done"
    print_table(("topic", *(name.replace("_", " ") for name in columns)), rows, title=title)
    total = sum(tallies.values(), Tally())
    if plan.policy is not ReplayPolicy.MISSING and total.never_ran:
        say(f"{total.never_ran} records have no execution to repeat; `--policy missing` runs what can run")
    if total.too_old:
        say(f"{total.too_old} records are older than keep_days: whether they ran may be forgotten; --older runs them")
