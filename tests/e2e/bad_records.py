"""Twenty ways to be wrong, one for each code that a single record can be rejected with, and what must be said."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.e2e.commands import Kind, Outgoing, binary, plain

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_THERE = str(uuid.UUID(int=7))
CONTENT_TYPE = (("content-type", b"application/json"),)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A way to be wrong.

    Attributes:
        path: What the rejection names.
        says: A part of the rejection's message: the value's problem or what would be right.
        make: A record with the mistake; of the good command that it follows, where that matters.
        follows: Whether it must come after that command, on its partition.
    """

    code: str
    path: str
    says: str
    make: Callable[[Outgoing], Outgoing]
    follows: bool = False


def raw(kind: Kind, value: bytes | None) -> Callable[[Outgoing], Outgoing]:
    return lambda _: Outgoing(kind, value, CONTENT_TYPE, key=b"k", good=False)


def data(kind: Kind, **fields: object) -> Callable[[Outgoing], Outgoing]:
    return lambda _: plain(kind, fields).bad()


def reuse_identity(good: Outgoing) -> Outgoing:
    return replace(binary(good.kind, {"priority": 9, "modelo": "TFT"}, event_id=good.event_id), good=False)


def claim_execution(good: Outgoing) -> Outgoing:
    named = good.value.split(b'"execucao_id": "')[1][:36] if good.value else b""
    return plain(good.kind, {"execucao_id": named.decode()}).bad()


def other_type(_: Outgoing) -> Outgoing:
    good = binary("predict", {})
    headers = tuple((name, b"forecast.train" if name == "ce_type" else value) for name, value in good.headers)
    return good.bad(headers=headers)


def bad_deadline(_: Outgoing) -> Outgoing:
    return binary("predict", {}, ("ce_expirytime", "tomorrow")).bad()


MISTAKES = (
    Mistake("null-value", "value", "must be a JSON object", raw("predict", None)),
    Mistake("too-large", "value", "at most 1048576 (1 MiB)", raw("predict", b"{" + b" " * 1024 * 1024 + b"}")),
    Mistake("invalid-utf8", "value", "(0xff) is not UTF-8", raw("train", b'{"modelo": "\xff"}')),
    Mistake("invalid-json", "value", "is not JSON", raw("backtest", b'{"holdout_weeks": ')),
    Mistake("not-finite", "value", "NaN or Infinity", raw("predict", b'{"horizonte_semanas": NaN}')),
    Mistake("too-deep", "value", "deeper than 64 levels", raw("train", b'{"a":' * 65 + b"1" + b"}" * 65)),
    Mistake("duplicate-field", "priority", "there twice", raw("train", b'{"priority": 1, "priority": 2}')),
    Mistake("not-an-object", "value", "a list of 2", raw("backtest", b"[1, 2]")),
    Mistake("invalid-envelope", "ce_expirytime", '"tomorrow"; it must be a time', bad_deadline),
    Mistake("type-mismatch", "ce_type", "it must be forecast.predict", other_type),
    Mistake(
        "unknown-field", "horizonte_semana", "did you mean horizonte_semanas?", data("predict", horizonte_semana=4)
    ),
    Mistake("missing-field", "execucao_id", "execucao_id is missing", data("cancel", motivo="no longer needed")),
    Mistake("both-spellings", "createdBy", "two spellings", data("train", created_by="u", createdBy="u")),
    Mistake(
        "wrong-type", "holdoutWeeks", 'the string "13"; it must be an integer', data("backtest", holdoutWeeks="13")
    ),
    Mistake("out-of-range", "horizonte_semanas", "from 1 to 52", data("predict", horizonte_semanas=53)),
    Mistake("invalid-value", "modelo", "TFT, ETS, CROSTON", data("train", modelo="PROPHET")),
    Mistake("id-reused", "ce_id", "used before for other data", reuse_identity, follows=True),
    Mistake("execution-exists", "execucao_id", "belongs to another command", claim_execution, follows=True),
    Mistake("unknown-user", "created_by", "no usuario has the id", data("predict", created_by="nobody")),
    Mistake(
        "unknown-execution",
        "execucao_id",
        "there is no execution",
        lambda _: plain("cancel", {"execucao_id": NOT_THERE}).bad(),
    ),
)
