"""Bad records of many sorts without end: every one of them must be refused, whatever the numbers were."""

from __future__ import annotations

import json
import random
import string
import uuid
from typing import TYPE_CHECKING, Any, Final

from tests.e2e.bad_records import CONTENT_TYPE, MISTAKES
from tests.e2e.commands import Kind, Outgoing, binary, plain, structured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KINDS: Final[tuple[Kind, ...]] = ("train", "predict", "backtest")
GOOD: Final = plain("predict", {"horizonte_semanas": 4})
# The two that follow a good command need one; a record of a mebibyte each would be nothing but large.
SIMPLE: Final = [mistake.make for mistake in MISTAKES if not mistake.follows and mistake.code != "too-large"]
LARGE: Final = next(mistake.make for mistake in MISTAKES if mistake.code == "too-large")
LARGE_SHARE: Final = 1 / 4000
WRONG: Final[dict[str, tuple[object, ...]]] = {
    "priority": ("1", 1.5, True, [], {}, -1, 10, 10**400),
    "created_by": (1, [], {}, False),
    "produto_ids": ("P1", 7, {}, [1], [None], [[]]),
}

Random = random.Random


def bad_records(count: int, randomness: Random) -> Iterator[Outgoing]:
    """So many, in random order of sorts."""
    for _ in range(count):
        if randomness.random() < LARGE_SHARE:
            yield LARGE(GOOD)
        elif randomness.random() < 0.5:
            yield randomness.choice(SIMPLE)(GOOD)
        else:
            yield randomness.choice(SORTS)(randomness)


def noise(randomness: Random) -> Outgoing:
    """Bytes that are no UTF-8 wherever they begin to be read."""
    return _raw(randomness, b"\xff" + randomness.randbytes(randomness.randrange(200)))


def cut_off(randomness: Random) -> Outgoing:
    """JSON that ends too soon."""
    text = json.dumps(_fields(randomness)).encode()
    return _raw(randomness, text[: randomness.randrange(1, len(text))])


def no_object(randomness: Random) -> Outgoing:
    """JSON that is something else."""
    value = randomness.choice((None, True, randomness.random(), [_fields(randomness)], _word(randomness)))
    return _raw(randomness, json.dumps(value).encode())


def deep(randomness: Random) -> Outgoing:
    """Nested from just too deep to a hundred times that."""
    depth = randomness.choice((65, 100, 2000, 6500))
    return _raw(randomness, b'{"a":' * depth + b"1" + b"}" * depth)


def wrong_value(randomness: Random) -> Outgoing:
    """A field that all commands know, with a value that it cannot have."""
    name = randomness.choice(list(WRONG))
    data = {**_fields(randomness), name: randomness.choice(WRONG[name])}
    return randomness.choice((plain, binary, structured))(randomness.choice(KINDS), data).bad()


def unknown_field(randomness: Random) -> Outgoing:
    """A field that nobody knows."""
    data = {**_fields(randomness), f"x_{_word(randomness)}": randomness.randrange(9)}
    return randomness.choice((plain, binary, structured))(randomness.choice(KINDS), data).bad()


def unknown_user(randomness: Random) -> Outgoing:
    """Right in itself, but of somebody who is not there."""
    return binary(randomness.choice(KINDS), {"created_by": _word(randomness)}).bad()


def unknown_execution(randomness: Random) -> Outgoing:
    """A cancellation of nothing."""
    return plain("cancel", {"execucao_id": str(uuid.UUID(int=randomness.getrandbits(128), version=4))}).bad()


def bad_envelope(randomness: Random) -> Outgoing:
    """An attribute that is no such thing; the identity is that of the position where the attribute is part of it."""
    name, text = randomness.choice((("ce_expirytime", _word(randomness)), ("ce_type", f"x.{_word(randomness)}")))
    good = binary(randomness.choice(KINDS), _fields(randomness))
    return good.bad(headers=(*(pair for pair in good.headers if pair[0] != name), (name, text.encode())))


SORTS: Final[tuple[Callable[[Random], Outgoing], ...]] = (
    noise,
    cut_off,
    no_object,
    deep,
    wrong_value,
    unknown_field,
    unknown_user,
    unknown_execution,
    bad_envelope,
)


def _raw(randomness: Random, value: bytes) -> Outgoing:
    return Outgoing(randomness.choice(KINDS), value, CONTENT_TYPE, key=b"k", good=False)


def _fields(randomness: Random) -> dict[str, Any]:
    return {"priority": randomness.randrange(1, 10), "produto_ids": [_word(randomness) for _ in range(3)]}


def _word(randomness: Random) -> str:
    return "".join(randomness.choices(string.ascii_letters, k=randomness.randint(3, 12)))
