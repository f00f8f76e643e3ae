"""``replay``."""

from typing import Annotated

import typer

from consumer.cli.options import JsonOption


def replay(
    topics: Annotated[list[str], typer.Argument(metavar="TOPIC...", help="Command topics, such as forecast.predict.")],
    *,
    policy: Annotated[
        str,
        typer.Option(
            help="missing: run what has no execution; reemit: tell the stored events again, run nothing; "
            "rerun: run what has an execution once more."
        ),
    ] = "missing",
    since: Annotated[str | None, typer.Option("--from", help="Records from this time on.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Records before it, such as 2026-11-23T12:00:00Z.")] = None,
    from_offset: Annotated[
        list[str] | None, typer.Option(metavar="P:N", help="Partition P from offset N on; repeat it.")
    ] = None,
    to_offset: Annotated[
        list[str] | None, typer.Option(metavar="P:N", help="Partition P up to and without offset N; repeat it.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many records.", show_default="all up to the end at the start")
    ] = None,
    replay_id: Annotated[
        str | None,
        typer.Option(help="For rerun: the same id makes nothing twice.", show_default="from topics and range"),
    ] = None,
    older: Annotated[
        bool, typer.Option("--older", help="For missing: also records older than keep_days, which may have run.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen, do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a rerun or --older.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read command topics again, by time or offset range, and repair, repeat or tell again what came of them.

    Reads without a group: the service's own offsets stay as they are. Where offsets are given, only the partitions
    that they name are read.
    """
    from consumer.cli.work import ranges, replay_plan, replaying  # noqa: PLC0415 - slow to import
    from consumer.replay.tally import ReplayPolicy  # noqa: PLC0415 - likewise

    if policy not in set(ReplayPolicy):
        raise ranges.wrong(f"--policy is {policy!r}; it must be one of {', '.join(ReplayPolicy)}")
    wanted = ranges.log_range(since, until, from_offset, to_offset)
    named = (
        replay_plan.default_replay_id(topics, wanted) if replay_id is None else replay_plan.checked_replay_id(replay_id)
    )
    plan = replay_plan.ReplayPlan(tuple(topics), ReplayPolicy(policy), wanted, named, limit, dry_run, older)
    replaying.replay_from_options(plan, yes=yes, as_json=as_json)
