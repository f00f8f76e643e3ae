import json
from typing import Any

import pytest

from schemas.commands import (
    COMMAND_TYPES,
    CancelExecution,
    RunBacktest,
    RunForecast,
    TrainForecast,
    accepted_types,
    canonical_data,
    data_digest,
    parse_command,
)
from schemas.enums import CommandKind, GatilhoExecucao, ModeloForecast, RejectionCode, TopicKind
from schemas.errors import InvalidCommand
from tests.unit.schemas.wire import EXECUCAO_ID

HUGE = 10**400


def errors_of(kind: TopicKind, data: dict[str, Any]) -> InvalidCommand:
    with pytest.raises(InvalidCommand) as caught:
        parse_command(kind, data)
    return caught.value


def test_an_empty_object_is_a_command_with_every_default() -> None:
    """The three commands need no field; the defaults are the contract's."""
    common = {"execucao_id": None, "produto_ids": None, "modelo": None, "created_by": None, "priority": 5}
    common["gatilho"] = "MANUAL"
    assert canonical_data(parse_command(CommandKind.TRAIN, {})) == {**common, "force_retrain": False}
    assert canonical_data(parse_command(CommandKind.PREDICT, {})) == {**common, "horizonte_semanas": 13}
    assert canonical_data(parse_command(CommandKind.BACKTEST, {})) == {**common, "holdout_weeks": 13}


def test_each_topic_has_its_command() -> None:
    """A kind of topic leads to one model, and an execution's command knows its kind."""
    expected = {"train": TrainForecast, "predict": RunForecast, "backtest": RunBacktest, "cancel": CancelExecution}
    assert dict(COMMAND_TYPES) == expected
    assert [model.kind.value for model in (TrainForecast, RunForecast, RunBacktest)] == ["train", "predict", "backtest"]


@pytest.mark.parametrize(
    "data",
    [
        {
            "execucao_id": EXECUCAO_ID,
            "produto_ids": ["a", "b"],
            "modelo": "ETS",
            "gatilho": "AGENDADO",
            "created_by": "u",
            "priority": 0,
            "horizonte_semanas": 52,
        },
        {
            "execucaoId": EXECUCAO_ID,
            "produtoIds": ["a", "b"],
            "modelo": "ETS",
            "gatilho": "AGENDADO",
            "createdBy": "u",
            "priority": 0,
            "horizonteSemanas": 52,
        },
    ],
)
def test_both_spellings_are_read(data: dict[str, Any]) -> None:
    """snake_case and camelCase give the same command."""
    assert parse_command(TopicKind.PREDICT, data) == RunForecast(
        execucao_id=EXECUCAO_ID,
        produto_ids=("a", "b"),
        modelo=ModeloForecast.ETS,
        gatilho=GatilhoExecucao.AGENDADO,
        created_by="u",
        priority=0,
        horizonte_semanas=52,
    )


def test_the_fields_of_one_command_are_read() -> None:
    """force_retrain, holdout_weeks and motivo arrive, in camelCase too."""
    train = parse_command(TopicKind.TRAIN, {"forceRetrain": True})
    backtest = parse_command(TopicKind.BACKTEST, {"holdoutWeeks": 1})
    cancel = parse_command(TopicKind.CANCEL, {"execucaoId": EXECUCAO_ID, "motivo": "mistake"})
    assert train == TrainForecast(force_retrain=True)
    assert backtest == RunBacktest(holdout_weeks=1)
    assert cancel == CancelExecution(execucao_id=EXECUCAO_ID, motivo="mistake")


@pytest.mark.parametrize(
    ("kind", "data", "path", "code", "says"),
    [
        ("predict", {"horizonte_semanas": 0}, "horizonte_semanas", "out-of-range", "from 1 to 52"),
        ("predict", {"horizonte_semanas": 53}, "horizonte_semanas", "out-of-range", "the integer 53"),
        ("predict", {"horizonteSemanas": 53}, "horizonteSemanas", "out-of-range", "horizonteSemanas is"),
        ("predict", {"horizonte_semanas": HUGE}, "horizonte_semanas", "out-of-range", "above 1e40"),
        ("predict", {"horizonte_semanas": -HUGE}, "horizonte_semanas", "out-of-range", "below -1e40"),
        ("predict", {"horizonte_semanas": "13"}, "horizonte_semanas", "wrong-type", 'the string "13"'),
        ("predict", {"horizonte_semanas": 13.0}, "horizonte_semanas", "wrong-type", "the number 13.0"),
        ("predict", {"horizonte_semanas": True}, "horizonte_semanas", "wrong-type", "the boolean true"),
        ("predict", {"horizonte_semanas": None}, "horizonte_semanas", "wrong-type", "left out, it is 13"),
        ("predict", {"horizonte_semanas": []}, "horizonte_semanas", "wrong-type", "an empty list"),
        ("predict", {"horizonte_semanas": {}}, "horizonte_semanas", "wrong-type", "an object"),
        ("predict", {"horizonte_semanas": float("inf")}, "horizonte_semanas", "wrong-type", "the number"),
        ("backtest", {"holdout_weeks": 53}, "holdout_weeks", "out-of-range", "from 1 to 52"),
        ("predict", {"priority": -1}, "priority", "out-of-range", "from 0 to 9"),
        ("predict", {"priority": 10}, "priority", "out-of-range", "from 0 to 9"),
        ("predict", {"modelo": "ets"}, "modelo", "invalid-value", "one of TFT, ETS, CROSTON, LGBM, ENSEMBLE"),
        ("predict", {"modelo": 1}, "modelo", "wrong-type", "the integer 1"),
        ("predict", {"gatilho": "manual"}, "gatilho", "invalid-value", "MANUAL, AGENDADO, AUTO_INGESTAO"),
        ("predict", {"gatilho": None}, "gatilho", "wrong-type", "left out, it is MANUAL"),
        ("train", {"force_retrain": 1}, "force_retrain", "wrong-type", "true or false; left out, it is false"),
        ("train", {"force_retrain": "true"}, "force_retrain", "wrong-type", "true or false"),
        ("predict", {"produto_ids": []}, "produto_ids", "out-of-range", "a list of 1 to 50000 ids or null"),
        ("predict", {"produto_ids": ["x"] * 50_001}, "produto_ids", "out-of-range", "a list of 50001"),
        ("predict", {"produto_ids": "abc"}, "produto_ids", "wrong-type", 'the string "abc"'),
        ("predict", {"produto_ids": {"a": 1}}, "produto_ids", "wrong-type", "an object"),
        ("predict", {"produto_ids": ["a", 1]}, "produto_ids[1]", "wrong-type", "a string of 1 to 64"),
        ("predict", {"produtoIds": ["a", ""]}, "produtoIds[1]", "out-of-range", 'the string ""'),
        ("predict", {"produto_ids": ["a" * 65]}, "produto_ids[0]", "out-of-range", "of 65 characters"),
        ("predict", {"produto_ids": ["a\0"]}, "produto_ids[0]", "invalid-value", "none of them U+0000"),
        ("predict", {"produto_ids": ["\ud800"]}, "produto_ids[0]", "invalid-value", "ud800"),
        ("predict", {"produto_ids": [None]}, "produto_ids[0]", "wrong-type", "is null"),
        ("predict", {"created_by": ""}, "created_by", "out-of-range", "1 to 64 characters"),
        ("predict", {"created_by": 7}, "created_by", "wrong-type", "the integer 7"),
        ("predict", {"created_by": "u\0"}, "created_by", "invalid-value", r"u\u0000"),
        ("predict", {"execucao_id": "x"}, "execucao_id", "invalid-value", "a UUID such as 0190"),
        ("predict", {"execucao_id": f"{EXECUCAO_ID}\n"}, "execucao_id", "invalid-value", "a UUID such as"),
        ("predict", {"execucao_id": "0" * 32}, "execucao_id", "invalid-value", "a UUID such as"),
        ("predict", {"execucao_id": 5}, "execucao_id", "wrong-type", "a UUID such as"),
        ("cancel", {}, "execucao_id", "missing-field", "is missing; it must be a UUID"),
        ("cancel", {"execucao_id": None}, "execucao_id", "wrong-type", "is null"),
        ("cancel", {"execucao_id": EXECUCAO_ID, "motivo": "\0"}, "motivo", "invalid-value", "U+0000"),
        ("cancel", {"execucao_id": EXECUCAO_ID, "motivo": "x" * 1001}, "motivo", "out-of-range", "1000"),
        ("predict", {"horizonteSemana": 1}, "horizonteSemana", "unknown-field", "did you mean horizonteSemanas?"),
        ("predict", {"force_retrain": True}, "force_retrain", "unknown-field", "known fields are execucao_id"),
        ("predict", {"specversion": "1.0"}, "specversion", "unknown-field", "application/cloudevents+json"),
        ("predict", {"a\0": 1}, r'"a\u0000"', "unknown-field", "is not a field"),
        ("predict", {"horizonte_semanas": 1, "horizonteSemanas": 1}, "horizonteSemanas", "both-spellings", "only one"),
    ],
)
def test_a_rule_that_is_broken_is_named(kind: str, data: dict[str, Any], path: str, code: str, says: str) -> None:
    """One error: the field as the producer spelled it, a code, and a message with value and remedy."""
    (error,) = errors_of(TopicKind(kind), data).errors
    assert error.path == path
    assert error.code == code
    assert path in error.message
    assert says in error.message
    assert len(error.message) < 400


def test_every_error_of_a_command_is_reported() -> None:
    """A producer sees all that is wrong at once."""
    errors = errors_of(TopicKind.PREDICT, {"horizonte_semanas": 0, "modelo": "x", "prioridade": 1}).errors
    assert {(error.path, error.code) for error in errors} == {
        ("horizonte_semanas", RejectionCode.OUT_OF_RANGE),
        ("modelo", RejectionCode.INVALID_VALUE),
        ("prioridade", RejectionCode.UNKNOWN_FIELD),
    }


def test_a_flood_of_errors_is_cut() -> None:
    """At most 20 errors, the last says how many more there are; hostile names stay short and printable."""
    errors = errors_of(TopicKind.PREDICT, {f"{number}\0{'x' * 1000}": 1 for number in range(30_000)}).errors
    assert len(errors) == 20
    assert errors[-1].message.startswith("29981 more errors")
    assert all(error.message.isprintable() and len(error.message) < 400 for error in errors)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"execucao_id": EXECUCAO_ID, "modelo": "x"}, EXECUCAO_ID),
        ({"execucaoId": EXECUCAO_ID, "modelo": "x"}, EXECUCAO_ID),
        ({"execucaoId": EXECUCAO_ID, "execucao_id": EXECUCAO_ID}, EXECUCAO_ID),
        ({"execucaoId": EXECUCAO_ID, "execucao_id": EXECUCAO_ID.replace("f", "0")}, None),
        ({"execucao_id": "x"}, None),
        ({"execucao_id": [EXECUCAO_ID]}, None),
    ],
)
def test_a_bad_command_still_names_its_execution(data: dict[str, Any], expected: str | None) -> None:
    """The rejection is keyed by the execution wherever exactly one can be read."""
    assert errors_of(TopicKind.PREDICT, data).execucao_id == expected


def test_the_id_of_an_execution_is_kept_as_spelled() -> None:
    """The database compares text: an upper-case UUID stays upper-case."""
    assert parse_command(TopicKind.PREDICT, {"execucao_id": EXECUCAO_ID.upper()}).execucao_id == EXECUCAO_ID.upper()


def test_repeated_products_count_once() -> None:
    """First occurrences stay, in their order; the limit is of what was sent."""
    command = parse_command(CommandKind.PREDICT, {"produto_ids": ["b", "a", "b"]})
    full = parse_command(CommandKind.PREDICT, {"produto_ids": ["x"] * 50_000})
    assert (command.produto_ids, full.produto_ids) == (("b", "a"), ("x",))


def test_canonical_data_reads_back_as_the_same_command() -> None:
    """What intake stores is JSON that gives the command again."""
    command = parse_command(CommandKind.TRAIN, {"produtoIds": ["a"], "modelo": "LGBM", "forceRetrain": True})
    assert parse_command(CommandKind.TRAIN, json.loads(json.dumps(canonical_data(command)))) == command


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {"horizonte_semanas": 13}, True),
        ({}, {"modelo": None, "gatilho": "MANUAL", "priority": 5, "execucao_id": None}, True),
        ({"horizonteSemanas": 4}, {"horizonte_semanas": 4}, True),
        ({"priority": 4, "modelo": "ETS"}, {"modelo": "ETS", "priority": 4}, True),
        ({"produto_ids": ["a", "b"]}, {"produto_ids": ["a", "b", "a"]}, True),
        ({}, {"horizonte_semanas": 14}, False),
        ({}, {"priority": 4}, False),
        ({"produto_ids": ["a"]}, {"produto_ids": ["b"]}, False),
        ({"created_by": "a"}, {}, False),
        ({"execucao_id": EXECUCAO_ID}, {}, False),
    ],
)
def test_digests_are_equal_for_the_same_data_only(one: dict[str, Any], other: dict[str, Any], *, same: bool) -> None:
    """Defaults, spelling, order and repetition make no difference; a value does."""
    digests = [data_digest(parse_command(TopicKind.PREDICT, data)) for data in (one, other)]
    assert (digests[0] == digests[1]) is same
    assert {len(digest) for digest in digests} == {32}


def test_the_digest_of_a_command_is_what_it_always_was() -> None:
    """Digests are stored: a new version must find the commands of the old one."""
    digest = data_digest(RunForecast(produto_ids=("a",), horizonte_semanas=26)).hex()
    assert digest == "d4ea56fb510ec8bb4817a8b3fae45d77b8510652448bf8d3dea2878dcb876e39"


def test_the_same_data_for_another_command_is_other_data() -> None:
    """A train and a backtest of nothing but defaults differ."""
    assert data_digest(TrainForecast()) != data_digest(RunBacktest())


def test_a_type_may_carry_its_version() -> None:
    """The types that agree with a topic."""
    assert accepted_types(TopicKind.CANCEL) == ("forecast.cancel", "forecast.cancel.v1")
