from __future__ import annotations

from alembic.script import ScriptDirectory

from consumer.db import setup


def test_files_of_migrations_are_named_by_their_revisions() -> None:
    """The revisions that are read from file names are Alembic's, and the newest of them is its head."""
    scripts = ScriptDirectory.from_config(setup._config())
    assert setup.known_revisions() == {script.revision for script in scripts.walk_revisions()}
    assert setup.newest_revision() == scripts.get_current_head()
