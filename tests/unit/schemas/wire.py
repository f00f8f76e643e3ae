"""Records as producers send them."""

import json
from typing import Any

import pytest

from schemas.enums import TopicKind
from schemas.envelope import receive
from schemas.errors import BadRecord
from schemas.records import RawRecord

EXECUCAO_ID = "0190b2c4-7b1e-7cc3-98c4-dc0c0c07398f"


def record(
    data: Any = None,
    headers: dict[str, bytes | None] | None = None,
    *,
    value: bytes | None = b"",
    more_headers: tuple[tuple[str, bytes | None], ...] = (),
) -> RawRecord:
    """A record on ``forecast.predict``; ``data`` as JSON, or ``value`` as it is."""
    content = json.dumps({} if data is None else data).encode() if value == b"" else value
    pairs = (*(headers or {}).items(), *more_headers)
    return RawRecord("forecast.predict", 2, 4711, 1_700_000_000_000, None, content, pairs)


def binary_headers(**changes: bytes | None) -> dict[str, bytes | None]:
    """Complete headers of binary mode; ``ce_id=None`` leaves one out."""
    headers: dict[str, bytes | None] = {
        "ce_specversion": b"1.0",
        "ce_id": b"id-1",
        "ce_source": b"/backend",
        "ce_type": b"forecast.predict",
        "content-type": b"application/json",
    }
    return {name: value for name, value in (headers | changes).items() if value is not None}


def structured(**changes: Any) -> dict[str, Any]:
    """A complete structured event; None leaves an attribute out."""
    event = {
        "specversion": "1.0",
        "id": "id-1",
        "source": "/backend",
        "type": "forecast.predict",
        "datacontenttype": "application/json",
        "data": {"horizonte_semanas": 26},
    }
    return {name: value for name, value in (event | changes).items() if value is not None}


STRUCTURED_HEADER: dict[str, bytes | None] = {"content-type": b"application/cloudevents+json"}


def refusal(raw: RawRecord, kind: TopicKind = TopicKind.PREDICT) -> BadRecord:
    """The exception that ``raw`` is refused with."""
    with pytest.raises(BadRecord) as caught:
        receive(raw, kind)
    return caught.value
