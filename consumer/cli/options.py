"""Options that several commands have."""

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
LimitOption = Annotated[int, typer.Option(min=1, help="At most so many.")]
