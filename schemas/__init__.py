"""The event contract: everything on the wire, as pydantic models."""
