"""``topics create|list|check``."""

from typing import Annotated

import typer

from consumer.cli.options import JsonOption

app = typer.Typer(name="topics", help="The seven topics of the contract.", no_args_is_help=True)


@app.command()
def create(
    *,
    partitions: Annotated[int, typer.Option(min=1, help="Of each topic.")] = 6,
    replication: Annotated[int, typer.Option(min=1, help="Copies of each partition.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Create those that are not there; what exists is left as it is."""
    from consumer.cli.work.topic_work import create_missing  # noqa: PLC0415 - slow to import

    create_missing(partitions=partitions, replication=replication, as_json=as_json)


@app.command("list")
def list_topics(*, as_json: JsonOption = False) -> None:
    """Show each topic, whether it is there, and its partitions."""
    from consumer.cli.work.topic_work import show_topics  # noqa: PLC0415 - slow to import

    show_topics(as_json=as_json)


@app.command()
def check() -> None:
    """Exit with code 5 and name them if topics are missing."""
    from consumer.cli.work.topic_work import check_topics  # noqa: PLC0415 - slow to import

    check_topics()
