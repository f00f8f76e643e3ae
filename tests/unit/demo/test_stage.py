from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from consumer.demo.stage import Stage
from consumer.settings import Settings

if TYPE_CHECKING:
    from consumer.demo.processes import ServerProcess


@pytest.mark.parametrize("installed", [True, False])
def test_command_to_paste_is_one_that_is_found(
    *, installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the program is not on the path, what the demo says to run names its directory."""
    program = tmp_path / "forecast-consumer"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path if installed else tmp_path / "elsewhere"))
    settings = Settings(database_url="postgresql://u@h/d", _env_file=None)  # type: ignore[call-arg,arg-type]  # pydantic-settings' own argument, text
    lines = Stage(settings, cast("ServerProcess", None)).how_to_connect()
    expected = "forecast-consumer" if installed else str(Path(sys.executable).parent / "forecast-consumer")
    assert f"  {expected} executions list" in lines
