from tests.integration.core.conftest import database, store

__all__ = ["database", "store"]
