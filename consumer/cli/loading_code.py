"""What importing has to do with garbage: nothing."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# A batch makes thousands of objects that live until the broker has them; with Python's 700 the collector looked at
# all of them again and again, a tenth of the processor time of step events, and found nothing.
YOUNG_OBJECTS: Final = 20_000


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
        gc.set_threshold(YOUNG_OBJECTS)
        gc.enable()
