"""Row ids that follow from what a row is about: written again, a row has the same id and the same bytes."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_HASH_BYTES: Final = 13
_SHARED_BYTES: Final = 4


def row_id_stem(execucao_id: str, *parts: str) -> str:
    """All but the last six digits of the ids of a family of rows, one of many families of an execution.

    The stem is a UUID of version 8 (RFC 9562) whose 90 free bits are hashes (BLAKE2b): 32 bits of the execution's id,
    58 of all parts. The missing six hexadecimal digits number the rows of the family (for forecasts: the week's
    ``date.toordinal``).

    What an execution writes has neighbouring ids, for its rows go to neighbouring pages of the primary key then: spread
    over the index of a large table, each page would be read, and written to the log as a whole after each checkpoint.
    """
    return _hash(_SHARED_BYTES, execucao_id) + _uuid8(_hash(_HASH_BYTES, execucao_id, *parts))[2 * _SHARED_BYTES :]


def row_id(*parts: str) -> str:
    """The id of a row that ``parts`` name alone: UUID text, lower case."""
    return _uuid8(_hash(_HASH_BYTES, *parts)) + "000000"


def _hash(size: int, *parts: str) -> str:
    # The separator cannot stand in PostgreSQL's text, so no two lists of parts are joined to the same string.
    return blake2b("\0".join(parts).encode(), digest_size=size).hexdigest()


def _uuid8(digits: str) -> str:
    variant = "89ab"[int(digits[15], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[12:15]}-{variant}{digits[16:19]}-{digits[19:25]}"
