"""What the driver did and what it knows of the outcome: one JSON object a line, written at once."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from pathlib import Path

Outcome = Literal["invoked", "ok", "failed", "unknown"]
Expected = Literal["good", "bad", "either"]


@dataclass(slots=True)
class Attempt:
    """A record that the driver sent, or tried to.

    Attributes:
        number: In the record's header, so that it is found again on the topic whatever the outcome was.
        expected: What the service may make of it; either: that depends on what it has read before.
    """

    number: int
    what: str
    kind: str
    expected: Expected
    outcome: Outcome = "invoked"
    place: tuple[str, int, int] | None = None
    identity: tuple[str, str] | None = None
    reported: bool = False


@dataclass(slots=True)
class History:
    """Use ``with``."""

    path: Path
    attempts: dict[int, Attempt] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)
    _file: IO[str] | None = None

    def __enter__(self) -> Self:
        self._file = self.path.open("w", encoding="utf-8", buffering=1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def write(self, entry: str, **fields: Any) -> None:
        if self._file is not None:
            line = {"at": round(self.seconds, 3), "entry": entry, **fields}
            self._file.write(json.dumps(line, default=str) + "\n")

    def invoked(self, what: str, kind: str, expected: Expected, identity: tuple[str, str] | None) -> Attempt:
        attempt = Attempt(len(self.attempts), what, kind, expected, identity=identity)
        self.attempts[attempt.number] = attempt
        self.write("record", number=attempt.number, what=what, kind=kind, expected=expected, outcome="invoked")
        return attempt

    def ended(self, attempt: Attempt, outcome: Outcome, **fields: Any) -> None:
        attempt.outcome = outcome
        self.write("record", number=attempt.number, outcome=outcome, **fields)

    def fault(self, name: str, **fields: Any) -> None:
        """A fault that took place."""
        self.faults[name] += 1
        self.write("fault", name=name, **fields)

    def finding(self, line: str) -> None:
        """Something that must not be, seen while the run went on; it names the invariant first."""
        self.findings.append(line)
        self.write("finding", line=line)
