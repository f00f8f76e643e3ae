from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.verdict import Facts, Verdict, judge, judge_cancels
from schemas.enums import StatusExecucao
from tests.builders import received, uuid

if TYPE_CHECKING:
    from consumer.received import Received


def reasons(verdict: Verdict) -> list[str]:
    return [item.reason for item in verdict.refused]


def test_new_command_is_accepted() -> None:
    """A command of which nothing is known starts an execution."""
    item = received(event_id="a")
    assert judge([item], Facts()) == Verdict(accepted=[item])


def test_same_identity_same_data_is_a_duplicate() -> None:
    """A command that came before is ignored, defaults spelled out or not."""
    first, again = received(event_id="a"), received(data={"horizonte_semanas": 13}, event_id="a", offset=7)
    assert judge([again], Facts(known={first.identity: first.digest})).duplicates == [again]


def test_same_identity_other_data_is_refused() -> None:
    """An id that was used for other data is an error of its producer: id-reused."""
    first, other = received(event_id="a"), received(data={"priority": 1}, event_id="a")
    verdict = judge([other], Facts(known={first.identity: first.digest}))
    assert reasons(verdict) == ["id-reused"]
    assert "'a'" in verdict.refused[0].summary
    assert "/tests" in verdict.refused[0].summary


def test_the_first_of_an_identity_wins_within_a_batch() -> None:
    """Of one identity in one batch the first is accepted, equal data is a duplicate, other data is refused."""
    items = [received(event_id="a"), received(event_id="a", offset=1), received(data={"priority": 1}, event_id="a")]
    verdict = judge(items, Facts())
    assert (verdict.accepted, verdict.duplicates, reasons(verdict)) == ([items[0]], [items[1]], ["id-reused"])


def test_execution_of_another_command_is_refused() -> None:
    """A command may not name an execution that is attached, in the database or earlier in the batch."""
    named = {"execucao_id": uuid(1)}
    first, second = received(data=named, event_id="a"), received(data=named, event_id="b")
    assert reasons(judge([first, second], Facts())) == ["execution-exists"]
    attached = judge([second], Facts(attached={uuid(1)}, executions={uuid(1): StatusExecucao.PENDENTE}))
    assert reasons(attached) == ["execution-exists"]
    assert attached.refused[0].execucao_id == uuid(1)


@pytest.mark.parametrize("status", list(StatusExecucao))
def test_only_a_pendente_execution_is_adopted(status: StatusExecucao) -> None:
    """The backend's own execution is adopted while it is PENDENTE, and refused once it is past that."""
    verdict = judge([received(data={"execucao_id": uuid(1)}, event_id="a")], Facts(executions={uuid(1): status}))
    assert (reasons(verdict) == []) == (status is StatusExecucao.PENDENTE)
    assert set(reasons(verdict)) <= {"execution-exists"}


def test_unknown_user_refuses_only_its_command() -> None:
    """A user that does not exist refuses the command that names him and leaves its neighbours."""
    items = [received(data={"created_by": name}, event_id=name) for name in ("u1", "u2")]
    verdict = judge(items, Facts(users={"u2"}))
    assert (verdict.accepted, reasons(verdict)) == ([items[1]], ["unknown-user"])
    assert verdict.refused[0].errors[0].path == "created_by"


def test_refusal_names_an_execution_only_if_the_producer_did() -> None:
    """An id that the service made up for a refused command is not told to anybody."""
    verdict = judge([received(data={"created_by": "nobody"}, event_id="a")], Facts())
    assert verdict.refused[0].execucao_id is None


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (None, ["unknown-execution"]),
        (StatusExecucao.PENDENTE, []),
        (StatusExecucao.EXECUTANDO, []),
        (StatusExecucao.CONCLUIDO, ["already-terminal"]),
        (StatusExecucao.PARCIAL, ["already-terminal"]),
        (StatusExecucao.ERRO, ["already-terminal"]),
    ],
)
def test_cancel_needs_an_execution_that_has_not_ended(status: StatusExecucao | None, reason: list[str]) -> None:
    """A queued or running execution can be cancelled; an unknown or ended one is a rejection."""
    executions: dict[str, StatusExecucao] = {} if status is None else {uuid(1): status}
    item = received("cancel", {"execucao_id": uuid(1)}, event_id="c")
    verdict = judge_cancels([item], Facts(executions=executions))
    assert (reasons(verdict), verdict.accepted) == (reason, [] if reason else [item])


def test_repeated_cancel_is_a_duplicate_even_after_the_end() -> None:
    """A cancellation that is delivered again is a duplicate, not a late one."""
    item = received("cancel", {"execucao_id": uuid(1)}, event_id="c")
    facts = Facts(known={item.identity: item.digest}, executions={uuid(1): StatusExecucao.ERRO})
    assert judge_cancels([item], facts).duplicates == [item]
    assert judge_cancels([item, item], Facts(executions={uuid(1): StatusExecucao.PENDENTE})).duplicates == [item]


COMMANDS = st.builds(
    lambda event, number, priority, user: received(
        data={
            "priority": priority,
            **({} if number is None else {"execucao_id": uuid(number)}),
            **({} if user is None else {"created_by": user}),
        },
        event_id=event,
    ),
    st.sampled_from("abc"),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([1, 2]),
    st.sampled_from([None, "u1", "u2"]),
)
CANCELS = st.builds(
    lambda event, number: received("cancel", {"execucao_id": uuid(number)}, event_id=event),
    st.sampled_from("abc"),
    st.integers(1, 3),
)


def fates(items: list[Received], verdict: Verdict) -> list[int]:
    ids = [id(item) for item in (*verdict.accepted, *verdict.duplicates)]
    refused = [id(item.raw) for item in verdict.refused]
    return [ids.count(id(item)) + refused.count(id(item.raw)) for item in items]


@settings(max_examples=100, deadline=None)
@given(
    commands=st.lists(COMMANDS, max_size=8),
    cancels=st.lists(CANCELS, max_size=6),
    known=st.lists(COMMANDS, max_size=3),
    executions=st.dictionaries(st.sampled_from([uuid(1), uuid(2)]), st.sampled_from(list(StatusExecucao))),
)
def test_each_command_has_exactly_one_fate(
    commands: list[Received], cancels: list[Received], known: list[Received], executions: dict[str, StatusExecucao]
) -> None:
    """Whatever is known, each record ends in exactly one list, and no identity or execution is accepted twice."""
    facts = Facts({item.identity: item.digest for item in known}, executions, frozenset(), frozenset({"u1"}))
    verdict = judge(commands, facts)
    assert fates(commands, verdict) == [1] * len(commands)
    assert len({item.identity for item in verdict.accepted}) == len(verdict.accepted)
    named = [item.execucao_id for item in verdict.accepted if item.names_execution]
    assert len(set(named)) == len(named)
    assert fates(cancels, judge_cancels(cancels, facts)) == [1] * len(cancels)
