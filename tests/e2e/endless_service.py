"""``python endless_service.py run``: the service, whose chunks compute for hours in one call of C code.

Such a call answers no signal that Python would have to handle, as a model's compiled code does not.
"""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from consumer.forecasting.types import ChunkRequest, ChunkResult

ITERATIONS = 2_000_000_000


def endless_chunk(_: ChunkRequest) -> ChunkResult:
    # Among the service's own log lines, and in one piece: another process may say the same at the same time.
    sys.stdout.write('{"event": "endless_chunk"}\n')
    sys.stdout.flush()
    hashlib.pbkdf2_hmac("sha256", b"", b"", ITERATIONS)
    raise AssertionError("that took hours")


if __name__ == "__main__":
    from consumer.__main__ import main
    from consumer.execution import chunks

    chunks.compute_chunk = endless_chunk
    main()
