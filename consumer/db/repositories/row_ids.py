"""Row ids that follow from what a row is about: written again, a row has the same id and the same bytes."""

from __future__ import annotations

from hashlib import blake2b

_HASH_BYTES = 13


def row_id_stem(*parts: str) -> str:
    """All but the last six digits of the ids of a family of rows.

    The stem is a UUID of version 8 (RFC 9562) whose 90 free bits are a BLAKE2b hash of ``parts``; the
    missing six hexadecimal digits number the rows of the family (for forecasts: the week's
    ``date.toordinal``).
    """
    # The separator cannot stand in PostgreSQL's text, so no two lists of parts are joined to the same string.
    digits = blake2b("\0".join(parts).encode(), digest_size=_HASH_BYTES).hexdigest()
    variant = "89ab"[int(digits[15], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[12:15]}-{variant}{digits[16:19]}-{digits[19:25]}"


def row_id(*parts: str) -> str:
    """The id of a row that ``parts`` name alone: UUID text, lower case."""
    return row_id_stem(*parts) + "000000"
