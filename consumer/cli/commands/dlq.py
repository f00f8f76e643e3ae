"""``dlq list|show|retry|discard``."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.options import JsonOption
from schemas.enums import RejectionCode

if TYPE_CHECKING:
    from consumer.cli.work.letter_search import LetterQuery

app = typer.Typer(name="dlq", help="Dead letters: what was refused, and what to do about it.", no_args_is_help=True)

Positions = Annotated[
    list[str] | None, typer.Argument(metavar="[P/O]...", help="Positions as `dlq list` shows them.", show_default=False)
]
Reason = Annotated[
    list[RejectionCode] | None,
    typer.Option(metavar="CODE", help="Only with this code, such as unknown-user; repeat it."),
]
Topic = Annotated[list[str] | None, typer.Option(help="Only records of this topic; repeat it.")]
Since = Annotated[str | None, typer.Option("--from", help="Dead letters from this time on, 2026-11-23T12:00:00Z.")]
Until = Annotated[str | None, typer.Option("--to", help="Dead letters before this time.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many, the oldest first.", show_default="all")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show which, do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Again = Annotated[bool, typer.Option("--again", help="Also those that were retried or discarded before.")]


@app.command("list")
def list_letters(
    *,
    reason: Reason = None,
    topic: Topic = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the oldest first.")] = 100,
    show_all: Annotated[bool, typer.Option("--all", help="Also those that were retried or discarded.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show dead letters that nobody has dealt with, the oldest first."""
    from consumer.cli.work.letters import print_letters  # noqa: PLC0415 - slow to import

    print_letters(_query(None, reason, topic, since, until, limit, handled=show_all), as_json=as_json)


@app.command()
def show(
    position: Annotated[str, typer.Argument(metavar="P/O", help="Where it stands, as `dlq list` shows it.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Show one: why it was refused, the record's headers and its value."""
    from consumer.cli.work.letters import print_letter  # noqa: PLC0415 - slow to import

    print_letter(position, as_json=as_json)


@app.command()
def retry(
    positions: Positions = None,
    *,
    reason: Reason = None,
    topic: Topic = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    again: Again = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: JsonOption = False,
) -> None:
    """Put the original records back on their topics, with the identity that they had: each runs at most once."""
    from consumer.cli.work.letter_actions import Manner, act_on_letters  # noqa: PLC0415 - slow to import

    query = _query(positions, reason, topic, since, until, limit, handled=again)
    raise typer.Exit(act_on_letters("retry", query, Manner(dry_run, yes, as_json)))


@app.command()
def discard(
    positions: Positions = None,
    *,
    reason: Reason = None,
    topic: Topic = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    again: Again = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: JsonOption = False,
) -> None:
    """Remember that nothing is to be done about them; `dlq list` leaves them out from then on."""
    from consumer.cli.work.letter_actions import Manner, act_on_letters  # noqa: PLC0415 - slow to import

    query = _query(positions, reason, topic, since, until, limit, handled=again)
    raise typer.Exit(act_on_letters("discard", query, Manner(dry_run, yes, as_json)))


def _query(
    places: list[str] | None,
    reason: list[RejectionCode] | None,
    topic: list[str] | None,
    since: str | None,
    until: str | None,
    limit: int | None,
    *,
    handled: bool,
) -> "LetterQuery":
    from consumer.cli.work.letter_search import LetterQuery  # noqa: PLC0415 - slow to import
    from consumer.cli.work.ranges import around, log_range, positions  # noqa: PLC0415 - likewise

    named, timed = positions(places or ()), log_range(since, until)
    return LetterQuery(
        wanted=replace(around(named), since=timed.since, until=timed.until),
        reasons=frozenset(reason or ()),
        topics=frozenset(topic or ()),
        positions=named,
        handled=handled,
        limit=limit,
    )
