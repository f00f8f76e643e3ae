from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from consumer.cli import failure
from consumer.cli.failure import CommandError, explained
from consumer.cli.work import watching
from consumer.errors import StartupError
from consumer.exit_codes import ExitCode
from tests.unit.cli.invoking import invoke

if TYPE_CHECKING:
    from collections.abc import Callable

HEAVY = ("aiokafka", "sqlalchemy", "pydantic", "pydantic_settings", "structlog", "rich", "numpy", "alembic")
COMMANDS = (
    *(("run",), ("watch",), ("demo",), ("config",), ("send", "train"), ("send", "predict"), ("send", "backtest")),
    *(("send", "cancel"), ("topics", "create"), ("topics", "list"), ("topics", "check"), ("db", "check")),
    *(("db", "migrate"), ("db", "init"), ("executions", "list"), ("executions", "show"), ("models", "list")),
    *(("schemas", "export"), ("executions", "diff"), ("replay",), ("dlq", "list"), ("dlq", "show")),
    *(("dlq", "retry"), ("dlq", "discard")),
)


def raising(error: BaseException) -> Callable[..., None]:
    def command(**_: object) -> None:
        raise error

    return command


def test_help_imports_nothing_slow() -> None:
    """``--help`` answers at once: none of the libraries that cost time are imported for it."""
    program = (
        "import sys; sys.argv = ['forecast-consumer', '--help']\n"
        "from consumer.__main__ import main\n"
        "try:\n    main()\n"
        f"finally:\n    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"
    assert "Run the service until SIGTERM" in done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    """Each command has help that begins with its usage."""
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert result.stdout.lstrip().startswith("Usage:")


def test_version() -> None:
    """``--version`` names the program and its version."""
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("forecast-consumer ")


@pytest.mark.parametrize(
    "arguments",
    [("runn",), ("send", "train", "--prioridade", "1"), ("send", "cancel"), ("topics", "create", "--partitions", "0")],
)
def test_wrong_usage_is_code_2(arguments: tuple[str, ...]) -> None:
    """What cannot be understood ends with code 2 and says so on stderr."""
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error" in result.stderr


def test_startup_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """An expected error is its message on one line and its exit code, no traceback."""
    monkeypatch.setattr(watching, "watch_from_options", raising(StartupError("no broker; start one", ExitCode.BROKER)))
    result = invoke("watch")
    assert (result.exit_code, result.stderr) == (ExitCode.BROKER, "forecast-consumer: no broker; start one\n")


def test_unexpected_error_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect gives its name and how to see more, and code 1."""
    monkeypatch.setattr(watching, "watch_from_options", raising(KeyError("x\ny")))
    result = invoke("watch")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "KeyError" in result.stderr
    assert "--debug" in result.stderr


@pytest.mark.parametrize(("arguments", "env"), [(("--debug",), {}), ((), {"FORECAST_DEBUG": "1"})])
def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], env: dict[str, str]
) -> None:
    """With ``--debug`` or the variable errors are left as they are."""
    monkeypatch.setattr(watching, "watch_from_options", raising(KeyError("x")))
    with pytest.raises(KeyError):
        invoke(*arguments, "watch", env=env)


def test_interrupt_is_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a command with a short line and the code that shells expect."""
    monkeypatch.setattr(watching, "watch_from_options", raising(KeyboardInterrupt()))
    result = invoke("watch")
    assert (result.exit_code, result.stderr) == (failure.INTERRUPTED, "forecast-consumer: interrupted\n")


def test_several_lines_are_kept() -> None:
    """An error that has a line for each problem shows them all."""
    told = explained(CommandError("one", "two", exit_code=2))
    assert (told.lines, told.exit_code) == (("one", "two"), 2)
