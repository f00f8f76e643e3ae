"""Exit codes of the process, for supervisors and scripts."""

from enum import IntEnum


class ExitCode(IntEnum):
    """0 and 1 as everywhere; the rest names the part that failed."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DATABASE = 3
    SCHEMA = 4
    BROKER = 5
    ADMIN_PORT = 6
    STUCK = 7  # closing hung
    NO_POLL = 8
    NO_RELAY = 9
    LOOP_BLOCKED = 10
