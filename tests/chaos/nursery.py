"""``python -m tests.chaos.nursery``: has imported the service, and forks a process of it for each line on stdin.

Imports take two seconds of a core, which a run of hundreds of restarts does not have. A line in is
``{"environment": …, "log": …}``; lines out are ``{"born": pid}`` and ``{"ended": pid, "code": …}``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1


def main() -> None:
    from consumer import bootstrap, failpoints  # noqa: F401, PLC0415  once, for all children
    from tests.chaos import mutants, slow, upgrade  # noqa: F401, PLC0415

    reader, writer = os.pipe()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, lambda *_: os.write(writer, b"."))
    os.set_blocking(writer, False)
    assert threading.active_count() == 1, "a fork would lose threads"
    say({"ready": os.getpid()})
    serve(reader)


def serve(children_ended: int) -> None:
    """Until stdin ends."""
    import select  # noqa: PLC0415

    rest = b""
    while True:
        ready, _, _ = select.select([0, children_ended], [], [])
        if children_ended in ready:
            os.read(children_ended, 4096)
            tell_ended()
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                bear(json.loads(line))


def bear(order: dict[str, Any]) -> None:
    pid = os.fork()
    if pid:
        say({"born": pid})
    else:
        live(order)


def live(order: dict[str, Any]) -> NoReturn:
    """The child: as if it had been started by itself."""
    from consumer import failpoints  # noqa: PLC0415
    from tests.chaos.service import main as run  # noqa: PLC0415

    code = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        os.environ.clear()
        os.environ.update(order["environment"])
        failpoints._ARMED = failpoints.armed(os.environ)  # type: ignore[misc]  # it was read before the fork
        run()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001  the log must tell, the parent's stack must not go on
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def tell_ended() -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def say(line: dict[str, Any]) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    main()
