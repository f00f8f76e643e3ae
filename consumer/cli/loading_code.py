"""What importing has to do with garbage: nothing."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def kept_for_good() -> Iterator[None]:
    """Import in the block: the collector does not run meanwhile, and never looks at what is there at its end.

    Modules and classes are a hundred thousand objects: collecting between them was a sixth of the start, and each
    full collection later would look at all of them.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
