"""The storm: lanes of faults and the load side by side; then calm, until everything has drained."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import traceback
from typing import TYPE_CHECKING, Final

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumer.failpoints import FAILPOINTS
from tests.chaos.faults.failpoints import reached
from tests.chaos.faults.processes import terminate
from tests.chaos.fleet import log_events
from tests.chaos.load import Load
from tests.chaos.rig import ROLE_OF
from tests.chaos.schedule import FAULTS, plan
from tests.e2e.rows import connected
from tests.support.evidence import committed_offsets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.rig import Rig
    from tests.chaos.schedule import Lane

DRAIN_SECONDS: Final = 150.0  # twenty where nobody else uses the machine
FAULT_SECONDS: Final = 90.0
ONCE_SECONDS: Final = 240.0  # for what treats every process and is not tried again
PATIENCE_SECONDS: Final = 60.0  # a lane that owes something goes on for so long, where the machine was slow
SAMPLE_SECONDS: Final = 2.0
MOST_QUEUED: Final = 150  # more is what a slow machine would need minutes for
_AWAY: Final = (OSError, TimeoutError, KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError, AssertionError)


async def storm(rig: Rig, lanes: Sequence[Lane], seed: int, seconds: float, rate: float, patience: float = 0.0) -> None:
    """Faults and load for so many seconds; every fault ends as it began before this returns.

    With ``patience``, failpoints that were not reached and a zombie's refused write that was not seen are gone on with.
    """
    deadline = time.monotonic() + seconds
    stopping = asyncio.Event()
    load = Load(rig.topics, rig.history, seed, rate, lambda: rig.queued > MOST_QUEUED)
    sampler = asyncio.create_task(sample_offsets(rig, stopping))
    traffic = asyncio.create_task(load.run(stopping))
    try:
        async with asyncio.TaskGroup() as running:
            running.create_task(asyncio.sleep(seconds))
            for lane in lanes:
                running.create_task(_run_lane(rig, lane, seed, deadline, patience))
    finally:
        await rig.fleet.disarm()
        stopping.set()
        await asyncio.wait({traffic, sampler})
        rig.servers.kafka_proxy.heal()
        rig.servers.postgres_proxy.heal()
    traffic.result()
    sampler.result()


async def _run_lane(rig: Rig, lane: Lane, seed: int, deadline: float, patience: float) -> None:
    members = [rig.fleet.members[number] for number in lane.members]
    for step in plan(seed, lane, 10_000):
        await asyncio.sleep(min(step.pause, max(0.0, deadline - time.monotonic())))
        if time.monotonic() >= deadline and not (time.monotonic() < deadline + patience and owes(rig, lane)):
            return
        started = time.monotonic()
        rig.history.write("begin", name=step.kind, lane=lane.name)
        try:
            async with asyncio.timeout(ONCE_SECONDS if lane.once else FAULT_SECONDS):
                await FAULTS[step.kind](rig, random.Random(step.seed), members)
        except Exception:  # noqa: BLE001  a fault that could not be done is told, the others go on
            rig.history.write("fault_failed", name=step.kind, lane=lane.name, error=traceback.format_exc())
        else:
            rig.history.fault(step.kind, lane=lane.name, seconds=round(time.monotonic() - started, 2))


def owes(rig: Rig, lane: Lane) -> bool:
    """Whether the lane has not reached yet what only it can."""
    if lane.kinds == ("failpoint",):
        roles = {role for number in lane.members for role in rig.fleet.members[number].roles}
        hit = reached(rig.fleet.members)
        return any(not hit[name] for name in FAILPOINTS if ROLE_OF[name] in roles)
    return "zombie" in lane.kinds and not log_events(rig.fleet)["zombie_write_refused"]


async def sample_offsets(rig: Rig, stopping: asyncio.Event) -> None:
    """I6 while the run goes on: offsets that are reset later would hide what was skipped."""
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), SAMPLE_SECONDS)
        with contextlib.suppress(*_AWAY):
            async with asyncio.timeout(8):
                await _sample(rig)


async def _sample(rig: Rig) -> None:
    committed = await committed_offsets(rig.topics)  # first: what they pass must be there afterwards
    async with connected(rig.url) as connection:
        rows = await connection.fetch(_ORIGINS)
        refused = await connection.fetch('SELECT topic, partition, "offset" FROM forecast_consumer.refused_record')
        rig.queued = await connection.fetchval(_QUEUED)
    left = {tuple(row)[:3] for row in (*rows, *refused)}
    known = {tuple(row)[3:] for row in rows}  # of a repeated command, another record has left the row
    for attempt in rig.history.attempts.values():
        place = attempt.place
        if place is None or attempt.reported or place[2] >= committed.get(place[:2], 0):
            continue
        if place not in left and attempt.identity not in known:
            rig.history.finding(f"I6: offset {committed[place[:2]]} passed record {attempt.number} at {place}")
            attempt.reported = True


async def drain(rig: Rig, within: float = DRAIN_SECONDS) -> float | None:
    """Seconds until nothing is left to do; None, and a finding of I7, if that takes too long."""
    started = time.monotonic()
    left = "never asked"
    while time.monotonic() - started < within:
        try:
            async with asyncio.timeout(15):
                left = await _left(rig)
        except _AWAY as error:
            left = repr(error)
        if not left:
            await _check_sessions(rig)
            return time.monotonic() - started
        await asyncio.sleep(0.5)
    rig.history.finding(f"I7: not drained {within:g} s after the last fault: {left}")
    return None


async def leave(rig: Rig) -> None:
    """Stop every process in good order; nothing of it may remain."""
    await rig.fleet.leave_alone()
    for member in rig.fleet.members:
        member.held_down = True
        if member.running:
            await terminate(rig, member, "idle", stay_down=True)
            if (code := member.ended_with) != 0:
                rig.history.finding(f"I7: {member.name} left with {code} when it was idle")
    await asyncio.sleep(0.2)
    async with connected(rig.url) as connection:
        sessions = await connection.fetchval(_SESSIONS)
        held = await connection.fetchval("SELECT count(*) FROM forecast_consumer.command WHERE lease_until IS NOT NULL")
        relays = await connection.fetchval("SELECT count(*) FROM forecast_consumer.role_lease WHERE role = 'relay'")
    if sessions or held or relays:
        rig.history.finding(f"I7: {sessions} sessions, {held} leases of executions, {relays} of relays are left over")


_ORIGINS: Final = """
    SELECT origin_topic, origin_partition, origin_offset, source, event_id FROM forecast_consumer.command"""
_QUEUED: Final = "SELECT count(*) FROM forecast_consumer.command WHERE state <> 'done'"
_LEFT: Final = """
    SELECT (SELECT count(*) FROM forecast_consumer.command WHERE state <> 'done') AS commands,
           (SELECT count(*) FROM forecast_consumer.outbox WHERE parked_reason IS NULL) AS messages"""
_SESSIONS: Final = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'forecast-consumer%'"
_IDLE: Final = """
    SELECT application_name || ': ' || query FROM pg_stat_activity
     WHERE application_name LIKE 'forecast-consumer%' AND state LIKE 'idle in transaction%'
       AND state_change < clock_timestamp() - interval '2 seconds'"""


async def _left(rig: Rig) -> str:
    async with connected(rig.url) as connection:
        row = await connection.fetchrow(_LEFT)
    unread = await _unread(rig)
    return "" if not (row["commands"] or row["messages"] or unread) else f"{dict(row)}, {unread} records unread"


async def _unread(rig: Rig) -> int:
    places = [TopicPartition(name, number) for name in rig.topics.all[:4] for number in range(6)]
    consumer = AIOKafkaConsumer(bootstrap_servers=rig.topics.bootstrap_servers, group_id=None)
    async with consumer:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
    committed = await committed_offsets(rig.topics)
    return sum(end - committed.get((place.topic, place.partition), 0) for place, end in ends.items())


async def _check_sessions(rig: Rig) -> None:
    async with connected(rig.url) as connection:
        for row in await connection.fetch(_IDLE):
            rig.history.finding(f"I7: a session is idle in a transaction: {row[0]}")
        running = await connection.fetchval(
            "SELECT count(*) FROM forecast_consumer.command WHERE state <> 'done' AND lease_owner IS NOT NULL"
        )
    if running:
        rig.history.finding(f"I7: {running} leases without work")
