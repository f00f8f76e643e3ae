"""Errors as people read them: one line each, with a hint; a traceback only for who asks."""

import sys
from contextvars import ContextVar
from typing import Any, Final

import typer
from typer.core import TyperGroup

from consumer.errors import ConsumerError
from consumer.exit_codes import ExitCode

PROGRAM: Final = "forecast-consumer"
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
TIMED_OUT: Final = 124  # as timeout(1) has it

_debugging: ContextVar[bool] = ContextVar("debugging", default=False)


class CommandError(Exception):
    """A command cannot be carried out; each line is a sentence of its own."""

    def __init__(self, *lines: str, exit_code: int = ExitCode.FAILED) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines
        self.exit_code = exit_code


class CommandGroup(TyperGroup):
    """The root command: what its subcommands raise becomes lines on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand; ``--debug`` leaves errors as they are."""
        _debugging.set(bool(ctx.params.get("debug")))
        try:
            return super().invoke(ctx)
        except (typer.TyperException, typer.Exit, typer.Abort, BrokenPipeError):
            raise  # usage errors and ends, which typer itself knows how to show
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if debugging():
                raise
            failure = explained(error)
            for line in failure.lines:
                say(line)
            raise typer.Exit(failure.exit_code) from None


def debugging() -> bool:
    """Whether ``--debug`` was given: tracebacks and the libraries' log are wanted."""
    return _debugging.get()


def explained(error: Exception) -> CommandError:
    """The lines and the exit code for what a command raised."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, ConsumerError):
        code = getattr(error, "exit_code", ExitCode.FAILED)
        return CommandError(str(error), exit_code=code)
    first = (str(error).splitlines() or [""])[0]
    told = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return CommandError(f"unexpected {told} (--debug or FORECAST_DEBUG=1 shows where)")


def say(line: str) -> None:
    """A line for people, on stderr: stdout is for what the command was asked for."""
    # By name, for with err=True the line is written past a progress bar, which then wipes it away.
    typer.echo(f"{PROGRAM}: {line}", file=sys.stderr)
