"""What the admin port says of the service, from before it is started until it has stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.service import Service
    from consumer.watchdog import Watchdog


class ServiceHealth:
    """Not ready until ``service`` is set and has no problem."""

    def __init__(self) -> None:
        self.service: Service | None = None
        self.watchdog: Watchdog | None = None

    def alive(self) -> Mapping[str, str]:
        """Roles that have ended though nobody asked them to, and loops that have stopped turning."""
        dead = {} if self.service is None else self.service.dead_roles()
        return dead if self.watchdog is None else dead | self.watchdog.stuck()

    def ready(self) -> Mapping[str, str]:
        """What stands between the service and its work."""
        return (
            {"service": "starting: waiting for database and broker"}
            if self.service is None
            else self.service.problems()
        )
