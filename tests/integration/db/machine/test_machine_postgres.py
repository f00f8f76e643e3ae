from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from consumer.db.database import Database
from tests.integration.db.machine.rules import RepositoryMachine
from tests.integration.db.machine.world import PRODUCTS, World

# The same examples in every run; FORECAST_TEST_EXAMPLES=2000 looks for new ones, for as long as that takes.
EXAMPLES = int(os.environ.get("FORECAST_TEST_EXAMPLES", "0"))

WORTH_REACHING = (
    *("accepted", "duplicates", "cancels", "refused", "rescued", "sent", "sent, not deleted"),
    *("chunk: committed", "chunk: LeaseLostError", "ending: committed", "ending: LeaseLostError"),
    "ending: PermanentError",
)


@pytest.mark.timeout(3600 if EXAMPLES else 600)
def test_repositories_do_what_the_model_does(initialised_database_url: str) -> None:
    """Whatever order batches, claims, writes, zombies, cancellations and relays come in: I1 to I5 and I8 hold."""
    with asyncio.Runner() as runner:
        opened = Database.open(initialised_database_url)
        database = runner.run(opened.__aenter__())
        try:
            world = World(database)
            runner.run(world.store.seed.products(*PRODUCTS))

            class Machine(RepositoryMachine):
                pass

            Machine.world, Machine.run, Machine.reached = world, runner.run, Counter()
            run_state_machine_as_test(Machine, settings=_settings())
            missed = [what for what in WORTH_REACHING if not Machine.reached[what]]
            assert EXAMPLES or not missed, (
                f"the examples are too tame: {missed} never happened in {sorted(Machine.reached.items())}"
            )
        finally:
            runner.run(opened.__aexit__(None, None, None))


def _settings() -> settings:
    return settings(
        max_examples=EXAMPLES or 50,
        derandomize=not EXAMPLES,
        database=None,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        # A smaller example costs minutes, more than a test may take: only who looks for new ones has them.
        phases=[*Phase] if EXAMPLES else [Phase.generate],
    )
