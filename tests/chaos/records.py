"""The records of a chaos run, good and bad, all decided by the seed."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.slow import CRASHING, DEVOURING
from tests.e2e.bad_records import MISTAKES
from tests.e2e.commands import Kind, Outgoing, binary, plain, structured
from tests.e2e.sales import product_id

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.chaos.history import Expected

PRODUCTS: Final = 40
LIMIT_BYTES: Final = 1024 * 1024
REPLY, TINY_REPLY, MISSING_REPLY = "planning.reply", "tiny.reply", "gone.reply"
HISTORY: Final = 200  # of the newest commands, for what refers to an earlier one
_PACES: Final = (4, 8, 12, 1, 5, 9, 2, 6, 3)  # the horizon modulo 4 is the pace: mostly fast
_WEIGHTS: Final = (30, 25, 15, 12, 8, 6, 6, 4, 2)


@dataclass(frozen=True, slots=True)
class Planned:
    """A record to be sent, what it is for, and what may come of it."""

    what: str
    record: Outgoing
    expected: Expected


@dataclass(slots=True)
class Records:
    """Makes records; remembers what it made, as later ones repeat or cancel earlier ones."""

    randomness: random.Random
    prefix: str
    _named: list[tuple[Outgoing, str]] = field(default_factory=list)
    _identified: list[Outgoing] = field(default_factory=list)
    _poison: list[int] = field(default_factory=list)

    def ordinary(self) -> Planned:
        kind: Kind = self.randomness.choices(("predict", "backtest", "train"), (60, 25, 15))[0]
        return Planned("command", self._command(kind, self._data(kind)), "good")

    def first(self) -> Planned:
        """A prediction before anything was ever trained."""
        return Planned("predict_before_train", self._command("predict", self._data("predict")), "good")

    def special(self, what: str) -> Planned:
        return SPECIAL[what](self)

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.randomness.getrandbits(128), version=4))

    def _data(self, kind: Kind, weeks: int | None = None) -> dict[str, Any]:
        count = min(1 + int(self.randomness.expovariate(1 / 5)), 24)
        first = self.randomness.randrange(PRODUCTS)
        data: dict[str, Any] = {"produto_ids": [product_id((first + number) % PRODUCTS) for number in range(count)]}
        if kind != "train":
            name = "horizonte_semanas" if kind == "predict" else "holdout_weeks"
            data[name] = weeks or self.randomness.choices(_PACES, _WEIGHTS)[0]
        if self.randomness.random() < 0.6:
            data["execucao_id"] = self._uuid()
        if self.randomness.random() < 0.2:
            data["priority"] = self.randomness.randrange(10)
        return data

    def _command(self, kind: Kind, data: dict[str, Any], *extra: tuple[str, str]) -> Outgoing:
        form = self.randomness.random()
        if form < 0.55 or extra:
            record = binary(kind, data, *extra, event_id=self._uuid())
        elif form < 0.8:
            record = structured(kind, data)
        else:
            record = plain(kind, data)
        if "execucao_id" in data:
            self._named = [*self._named[-HISTORY:], (record, data["execucao_id"])]
        if record.event_id is not None:
            self._identified = [*self._identified[-HISTORY:], record]
        return record

    def _earlier(self) -> Outgoing:
        return self.randomness.choice(self._identified) if self._identified else self.ordinary().record

    def _poisoned(self) -> Planned:
        """Every kind of mistake in turn."""
        if not self._poison:
            self._poison = list(range(len(POISON)))
            self.randomness.shuffle(self._poison)
        what, make = POISON[self._poison.pop()]
        return Planned(what, make(self._earlier()), "bad")

    def _duplicate(self) -> Planned:
        return Planned("duplicate", self._earlier(), "good")

    def _reused(self) -> Planned:
        earlier = self._earlier()
        other = binary(earlier.kind, {"priority": self.randomness.randrange(10)}, event_id=earlier.event_id)
        return Planned("reused_id", replace(other, source=earlier.source), "either")

    def _same_execution(self) -> Planned:
        _, name = self.randomness.choice(self._named) if self._named else (None, self._uuid())
        record = binary("predict", {"execucao_id": name, "horizonte_semanas": 4, "produto_ids": [product_id(1)]})
        return Planned("same_execution", replace(record, event_id=record.event_id), "either")

    def _cancel(self, age: int, what: str) -> Planned:
        """Of one that was just sent, of one that may run, of one that has ended."""
        if not self._named:
            return self.ordinary()
        _, name = self._named[max(0, len(self._named) - 1 - age)]
        record = binary("cancel", {"execucao_id": name, "motivo": "chaos"}, event_id=self._uuid())
        return Planned(what, record, "either")

    def _cancel_before(self) -> Planned:
        """Of an execution that is commanded next, perhaps."""
        name = self._uuid()
        self._named.insert(0, (self._earlier(), name))
        return Planned("cancel_unknown", binary("cancel", {"execucao_id": name}, event_id=self._uuid()), "either")

    def _expired(self) -> Planned:
        past = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
        return Planned("expired", self._command("predict", self._data("predict"), ("ce_expirytime", past)), "good")

    def _deadline(self) -> Planned:
        soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
        return Planned("deadline", self._command("predict", self._data("predict", 3), ("ce_expirytime", soon)), "good")

    def _at_limit(self) -> Planned:
        record = self._command("predict", self._data("predict", 4))
        return Planned("size_at_limit", replace(record, value=(record.value or b"").ljust(LIMIT_BYTES)), "good")

    def _oversized(self) -> Planned:
        data = plain("predict", {"horizonte_semanas": 4})
        return Planned("oversize", replace(data, value=(data.value or b"").ljust(LIMIT_BYTES + 1)), "bad")

    def _replied(self, topic: str, what: str) -> Planned:
        nest = (("kafka_replyTopic", self.prefix + topic), ("kafka_correlationId", self._correlation(topic)))
        return Planned(what, self._command("predict", self._data("predict"), *nest), "good")

    def _correlation(self, topic: str) -> str:
        """Echoed in every reply: on the topic with the small limit it makes replies of every size around that limit."""
        return self._uuid() + "-" * (self.randomness.randrange(255 - 36) if topic == TINY_REPLY else 0)

    def _fatal(self, weeks: int, what: str) -> Planned:
        return Planned(what, self._command("predict", self._data("predict", weeks)), "good")


def _deep(_: Outgoing) -> Outgoing:
    return Outgoing("train", b"[" * 2000 + b"]" * 2000, (("content-type", b"application/json"),), good=False)


def _huge_number(_: Outgoing) -> Outgoing:
    value = b'{"priority": ' + b"9" * 5000 + b"}"
    return Outgoing("train", value, (("content-type", b"application/json"),), good=False)


def _unknown_type(_: Outgoing) -> Outgoing:
    good = binary("predict", {})
    headers = tuple((name, b"forecast.conjure" if name == "ce_type" else value) for name, value in good.headers)
    return replace(good, headers=headers, good=False)


POISON: Final[list[tuple[str, Callable[[Outgoing], Outgoing]]]] = [
    *((mistake.code, mistake.make) for mistake in MISTAKES if not mistake.follows),
    ("2000-levels", _deep),
    ("huge-number", _huge_number),
    ("unknown-type", _unknown_type),
]

SPECIAL: Final[dict[str, Callable[[Records], Planned]]] = {
    "poison": Records._poisoned,
    "duplicate": Records._duplicate,
    "reused_id": Records._reused,
    "same_execution": Records._same_execution,
    "cancel_queued": lambda records: records._cancel(0, "cancel_queued"),
    "cancel_running": lambda records: records._cancel(3, "cancel_running"),
    "cancel_ended": lambda records: records._cancel(HISTORY // 2, "cancel_ended"),
    "cancel_unknown": Records._cancel_before,
    "expired": Records._expired,
    "deadline": Records._deadline,
    "size_at_limit": Records._at_limit,
    "oversize": Records._oversized,
    "reply": lambda records: records._replied(REPLY, "reply"),
    "reply_too_large": lambda records: records._replied(TINY_REPLY, "reply_too_large"),
    "reply_topic_missing": lambda records: records._replied(MISSING_REPLY, "reply_topic_missing"),
    "crashing_job": lambda records: records._fatal(CRASHING, "crashing_job"),
    "devouring_job": lambda records: records._fatal(DEVOURING, "devouring_job"),
}


def canonical(record: Outgoing) -> dict[str, Any]:
    """The data of a good record, as the producer wrote it."""
    data: dict[str, Any] = json.loads(record.value or b"{}")
    return data.get("data", data) if "specversion" in data else data
