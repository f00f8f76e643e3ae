from __future__ import annotations

from dataclasses import replace

from consumer.cli.work.comparing import compare, flat
from consumer.db.comparison import Side

SIDE = Side(
    execucao_id="a",
    status="CONCLUIDO",
    error=None,
    replay_of=None,
    parameters={"comando": "backtest", "holdout_weeks": 4},
    summary={
        "data_hash": "ff",
        "seed": 1,
        "metrics": {"overall": {"model": {"wape": 10.0}}, "A": {"model": {"wape": 9.0}}},
    },
    libraries={"numpy": "2"},
)


def differing(other: Side) -> list[tuple[str, str]]:
    return [(line.section, line.name) for line in compare(SIDE, other) if not line.equal]


def test_rerun_of_the_same_on_the_same_is_equal() -> None:
    """Ids and what is a replay of what are no difference."""
    assert differing(replace(SIDE, execucao_id="b", replay_of="a")) == []


def test_each_difference_is_named() -> None:
    """Status, parameters, data, libraries and metrics, overall and by class, are told apart."""
    other = replace(
        SIDE,
        status="ERRO",
        parameters={"comando": "backtest", "holdout_weeks": 5},
        summary={"data_hash": "00", "seed": 1, "metrics": {"overall": {"model": {"wape": 10.0}}, "B": {"n": 1}}},
        libraries={"numpy": "3"},
    )
    assert differing(other) == [
        ("result", "status"),
        ("parameters", "holdout_weeks"),
        ("data", "data_hash"),
        ("libraries", "numpy"),
        ("metrics", "A.model.wape"),
        ("metrics", "B.n"),
    ]


def test_paths_of_nested_values() -> None:
    """A nested value is named by its path; an empty object has none."""
    assert flat({"a": {"b": {"c": 1}}, "d": 2, "e": {}}) == {"a.b.c": 1, "d": 2}
