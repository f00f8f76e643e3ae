"""What the service and the command line build alike from the settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from consumer.outbound import Topics
from schemas.enums import TopicKind

if TYPE_CHECKING:
    from consumer.settings import Settings


def topics_of(settings: Settings) -> Topics:
    """Where events go."""
    own = (settings.topic_status, settings.topic_step_log, settings.topic_dlq)
    reserved = frozenset({*own, *settings.command_topics.values()})
    return Topics(*own, re.compile(settings.reply_topic_pattern), reserved)


def kinds_of(settings: Settings) -> dict[str, TopicKind]:
    """What each command topic carries."""
    return {topic: TopicKind(kind) for kind, topic in settings.command_topics.items()}
