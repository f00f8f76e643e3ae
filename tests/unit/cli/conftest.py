from tests.unit.cli.invoking import isolated

__all__ = ["isolated"]
