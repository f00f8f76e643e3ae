"""What a client can meet besides a rejection."""

from consumer.errors import ConsumerError
from consumer.exit_codes import ExitCode


class ClientError(ConsumerError):
    """The broker is away, a topic is missing, or a command was not acknowledged; one line with a hint."""

    exit_code = ExitCode.BROKER
