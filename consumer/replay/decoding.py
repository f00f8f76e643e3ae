"""Records to commands and refusals, without holding up the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from consumer.intake import BREATH
from consumer.received import Received, Refused, receive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from consumer.model import ExecutionId
    from consumer.received import Identity
    from schemas.enums import TopicKind
    from schemas.records import RawRecord


async def decode(
    records: Iterable[RawRecord], kinds: Mapping[str, TopicKind], new_id: Callable[[], ExecutionId]
) -> tuple[list[Received], list[Refused]]:
    """Read every record as intake does.

    Args:
        records: In their order.
        kinds: What each topic carries.
        new_id: For executions that their command does not name.
    """
    received: list[Received] = []
    refused: list[Refused] = []
    for position, raw in enumerate(records, start=1):
        item = receive(raw, kinds[raw.topic], new_id)
        if isinstance(item, Received):
            received.append(item)
        else:
            refused.append(item)
        if position % BREATH == 0:
            await asyncio.sleep(0)
    return received, refused


def taken_before(items: Iterable[Received], taken: Mapping[Identity, bytes]) -> dict[Identity, bytes]:
    """Those of the items that a dry run has met before: the whole of its memory would be copied for every batch."""
    return {item.identity: taken[item.identity] for item in items if item.identity in taken}
