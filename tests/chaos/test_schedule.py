from __future__ import annotations

from collections import Counter

from consumer.failpoints import FAILPOINTS
from tests.chaos.faults.failpoints import Aims, order_of
from tests.chaos.mutants import MUTANTS
from tests.chaos.rig import ROLE_OF
from tests.chaos.schedule import FAULTS, LANES, as_json, focused, plan
from tests.chaos.stage import MEMBERS


def test_a_seed_makes_the_same_plan_again() -> None:
    """Kinds, their seeds, the pauses between them and the order of the failpoints follow from the seed alone."""
    assert as_json(LANES, 7, 50) == as_json(LANES, 7, 50)
    assert as_json(LANES, 7, 50) != as_json(LANES, 8, 50)


def test_a_longer_plan_begins_like_a_shorter_one() -> None:
    """A run of ten minutes begins as one of a minute does."""
    for lane in LANES:
        assert plan(3, lane, 40)[:15] == plan(3, lane, 15)


def test_every_kind_comes_in_every_round() -> None:
    """A lane goes through all of its kinds before it begins anew; one that is done once is planned once."""
    for lane in LANES:
        kinds = Counter(step.kind for step in plan(1, lane, 2 * len(lane.kinds)))
        rounds = 1 if lane.once else 2
        assert kinds == Counter({kind: rounds * count for kind, count in Counter(lane.kinds).items()})


def test_every_fault_is_planned_and_every_plan_can_be_carried_out() -> None:
    """No fault that exists is missing in the schedule, and the storms of the mutants are made of them."""
    assert {kind for lane in LANES for kind in lane.kinds} == FAULTS.keys()
    for mutant in MUTANTS.values():
        assert {kind for lane in focused(mutant.focus) for kind in lane.kinds} == set(mutant.focus)


def test_every_failpoint_has_a_member_that_reaches_it() -> None:
    """Some lane of failpoints treats a member with the role of each."""
    names = list(MEMBERS)
    lanes = [lane for lane in LANES if lane.kinds == ("failpoint",)]
    roles = {role for lane in lanes for number in lane.members for role in MEMBERS[names[number]]}
    assert {ROLE_OF[name] for name in FAILPOINTS} <= roles


def test_failpoints_come_in_turn_and_missed_ones_again_before_others() -> None:
    """Each is tried once before any twice; then those that were not reached come first."""
    aims = Aims(order_of(5))
    roles = ("intake", "worker", "relay")
    assert [aims.next(roles, Counter())[0] for _ in FAILPOINTS] == list(order_of(5))
    missed = order_of(5)[6]
    reached = Counter(name for name in FAILPOINTS if name != missed)
    assert aims.next(roles, reached) == (missed, False)
    assert aims.next(roles, reached, under_way=missed)[0] != missed
    assert sorted(order_of(5)) == sorted(FAILPOINTS)
