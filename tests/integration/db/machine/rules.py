"""Any order in which members, workers, relays and the passing of time may touch a few executions."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from consumer.errors import LeaseLostError, PermanentError, TransitionError
from consumer.model import TERMINAL
from consumer.ports.fenced import FencedWork
from consumer.received import receive
from schemas.enums import StatusExecucao, TopicKind
from tests.builders import COMMAND_TOPICS, record, uuid
from tests.integration.db.machine import work
from tests.integration.db.machine.findings import check_history, check_tables
from tests.integration.db.machine.model import Model, no_new_id
from tests.integration.db.machine.world import World, bad_record

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Coroutine

    from consumer.model import Lease
    from schemas.records import RawRecord
    from tests.integration.db.machine.model import Standing

REFUSALS = (LeaseLostError, TransitionError, PermanentError)
NUMBERS = st.integers(1, 5)
WORKERS = st.sampled_from(["worker-1", "worker-2"])
RELAYS = st.sampled_from(["relay-1", "relay-2"])
PICKS = st.integers(0, 8)
Action = Callable[[FencedWork], Awaitable[None]]
ACTIONS = (work.begin, work.load, work.load, *[work.chunk] * 4, *map(work.finish, sorted(TERMINAL)))
WHAT = ("command", "command", "by user", "again", "resent", "other data", "cancel", "bad bytes", "bad field")


class Part(NamedTuple):
    """One record of a batch: what kind of record, about which execution or which earlier record."""

    what: str
    number: int
    kind: str
    priority: int


def parts(*what: str) -> st.SearchStrategy[Part]:
    return st.builds(
        Part, st.sampled_from(what), NUMBERS, st.sampled_from(["predict", "train", "backtest"]), st.integers(0, 9)
    )


class RepositoryMachine(RuleBasedStateMachine):
    """The model and the database go the same way; ``world`` and ``run`` are set by who runs the machine."""

    world: World
    reached: Counter[str]
    run: Callable[[Coroutine[Any, Any, Any]], Any]

    @initialize(parts=st.lists(parts("command"), min_size=1, max_size=3), limit=st.integers(1, 3))
    def begin(self, parts: list[Part], limit: int) -> None:
        self.model = Model()
        self.records: list[RawRecord] = []
        self.leases: list[Lease] = []
        self.offsets = count()
        self.run(self.world.empty())
        self.deliver(parts, 1)
        self.claim("worker-1", limit)

    def raw(self, part: Part) -> RawRecord:
        offset, name, about = next(self.offsets), uuid(part.number), {"priority": part.priority}
        command = {"execucao_id": name, **about}
        earlier = self.records[part.number % len(self.records)] if self.records else None
        match part.what:
            case "again" | "resent" if earlier is not None:
                return earlier if part.what == "again" else replace(earlier, offset=offset, timestamp_ms=offset)
            case "other data" if earlier is not None:
                value = json.dumps({"execucao_id": name, "gatilho": "AGENDADO"}).encode()
                return replace(earlier, offset=offset, timestamp_ms=offset, value=value)
            case "cancel":
                return record("cancel", {"execucao_id": name}, event_id=f"x{offset}", offset=offset)
            case "bad bytes" | "bad field":
                return bad_record(offset, name if part.what == "bad field" else None)
            case "by user":
                return record(part.kind, {**command, "created_by": "u1"}, event_id=f"u{offset}", offset=offset)
        return record(part.kind, command, event_id=f"c{offset}", offset=offset)

    @rule(parts=st.lists(parts(*WHAT), min_size=1, max_size=4), members=st.sampled_from([1, 1, 2]))
    def deliver(self, parts: list[Part], members: int) -> None:
        batch = [self.raw(part) for part in parts]
        wanted = self.run(self.model.take(batch, members))
        assert self.run(self.world.take(batch, members)) == wanted
        self.reached.update(wanted.counts())
        self.records += batch

    @rule(worker=WORKERS, limit=st.integers(1, 3))
    def claim(self, worker: str, limit: int) -> None:
        due = self.model.claim()
        claims = self.run(self.world.queue(worker).claim(limit))
        priorities = [known.item.priority for known in due][:limit]
        assert [self.model.standing[one.lease.execucao_id].item.priority for one in claims] == priorities
        for claim in claims:
            assert self.model.standing[claim.lease.execucao_id] in due
            assert claim.lease == self.model.claimed(claim.lease.execucao_id)
            self.leases.append(claim.lease)
            self.reached["rescued"] += claim.lease.epoch > 1

    @precondition(lambda self: self.leases)
    @rule(pick=PICKS, actions=st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=4))
    def work(self, pick: int, actions: list[Action]) -> None:
        for action in actions:
            self.both(self.lease(pick), action)

    @precondition(lambda self: self.leases)
    @rule(pick=PICKS, fate=st.sampled_from(["prolonged", "runs out", "runs out", "handed back", "later"]))
    def lease_is(self, pick: int, fate: str) -> None:
        lease, queue = self.lease(pick), self.world.queue("any")
        match fate:
            case "prolonged":
                assert self.run(queue.extend([lease])) == {lease: self.model.extend(lease)}
            case "runs out" if self.model.holds(lease):
                self.runs_out(self.model.standing[lease.execucao_id])
            case "handed back":
                self.model.give_back(lease, later=False)
                self.run(queue.hand_back(lease))
            case "later":
                self.model.give_back(lease, later=True)
                self.run(queue.retry_later(lease, 3600.0))

    @rule(relay=RELAYS, batch=st.integers(1, 20), dies=st.booleans(), takes_over=st.booleans())
    def publish(self, relay: str, batch: int, *, dies: bool, takes_over: bool) -> None:
        if takes_over:
            self.run(self.world.relays_lease_runs_out())
        published = self.run(self.world.relay(relay, batch, dies=dies))
        self.reached["sent, not deleted" if dies else "sent"] += published

    @rule(number=NUMBERS, what=st.sampled_from(["insert", "insert", "user", "delays", "retention"]))
    def meanwhile(self, number: int, what: str) -> None:
        """What others do, and what time does."""
        state = self.model.inbox.state
        match what:
            case "insert" if uuid(number) not in self.model.statuses():
                state.unattached[uuid(number)] = StatusExecucao.PENDENTE
                self.run(self.world.store.pendente(uuid(number)))
            case "user" if not state.users:
                state.users.add("u1")
                self.run(self.world.store.user("u1"))
            case "delays":
                self.delays_are_over()
            case "retention":
                self.retention_passes()

    @invariant()
    def tables_are_as_the_model_has_them(self) -> None:
        if hasattr(self, "model"):
            self.run(check_tables(self.model, self.world, self.records))

    def teardown(self) -> None:
        """Whatever happened, everything that was taken can be brought to its end."""
        if not hasattr(self, "model"):
            return
        self.delays_are_over()
        for known in self.model.standing.values():
            self.runs_out(known)
        self.claim("worker-1", 99)
        for lease in self.leases[:]:
            self.both(lease, work.end)
        self.publish("relay-1", 10_000, dies=False, takes_over=True)
        self.run(check_tables(self.model, self.world, self.records))
        assert self.run(self.world.store.scalar("SELECT count(*) FROM forecast_consumer.outbox")) == 0
        check_history(self.model, self.world.broker.log)

    def retention_passes(self) -> None:
        """Topics are kept shorter than identities: what is forgotten is never read again."""
        self.run(self.world.retention_passes())
        self.model.forget()
        self.records = [raw for raw in self.records if _identity(raw) in self.model.inbox.state.commands]

    def delays_are_over(self) -> None:
        for known in self.model.standing.values():
            known.waits = False
        self.run(self.world.delays_are_over())

    def runs_out(self, known: Standing) -> None:
        known.lease_is_over = known.running
        self.run(self.world.lease_runs_out(known.item.execucao_id))

    def both(self, lease: Lease, action: Action) -> None:
        refusal = self.run(_refusal(self.model.write(lease, action)))
        assert self.run(_refusal(self.world.write(lease, action))) is refusal
        self.reached[f"{action.__name__}: {refusal.__name__ if refusal else 'committed'}"] += 1

    def lease(self, pick: int) -> Lease:
        """One that is held while there is any, but for every third pick: that one may be a zombie's."""
        held = [] if pick % 3 == 2 else [lease for lease in self.leases if self.model.holds(lease)]
        return (held or self.leases)[-1 - pick % len(held or self.leases)]


def _identity(raw: RawRecord) -> object:
    return getattr(receive(raw, TopicKind(COMMAND_TOPICS[raw.topic]), no_new_id), "identity", None)


async def _refusal(writing: Awaitable[None]) -> type[Exception] | None:
    try:
        await writing
    except REFUSALS as error:
        return type(error)
    return None
