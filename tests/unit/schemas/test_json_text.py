from typing import Any

import pytest

from schemas.json_text import MAX_BYTES, UnreadableValueError, read_json


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"{}", {}),
        (b' {"a": [1, 2.5, null, true]} ', {"a": [1, 2.5, None, True]}),
        (b'{"a": "[[[[ NaN :::: {\\"b\\": 1}"}', {"a": '[[[[ NaN :::: {"b": 1}'}),
        (b'{"a": "\\u0000"}', {"a": "\0"}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a": {"b": 1}, "c": {"b": 1}}', {"a": {"b": 1}, "c": {"b": 1}}),
        (b"1" * 4000, int("1" * 4000)),
    ],
)
def test_json_is_read(value: bytes, expected: Any) -> None:
    """What is JSON comes out as it went in, whatever its strings look like."""
    assert read_json(value) == expected


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        (None, "null-value", "null"),
        (b"", "invalid-json", "empty"),
        (b" \n", "invalid-json", "empty"),
        (b"{", "invalid-json", "line 1 column 1"),
        (b"{} {}", "invalid-json", "trailing"),
        (b"{'a': 1}", "invalid-json", "not JSON"),
        (b"\xef\xbb\xbf{}", "invalid-json", "byte order mark"),
        (b'{"a": "\\ud800"}', "invalid-json", "hex escape"),
        (b'{"a": "\x00"}', "invalid-json", "control character"),
        (b"1" * 5000, "invalid-json", "out of range"),
        (b"\xff{}", "invalid-utf8", "byte 0 of the value (0xff)"),
        (b'{"a": "\xed\xa0\x80"}', "invalid-utf8", "byte 7"),
        (b"NaN", "not-finite", "NaN"),
        (b'{"a": -Infinity}', "not-finite", "Infinity"),
        (b'{"a": 1, "a": 2}', "duplicate-field", "a is there twice"),
        (b'{"a": 1, "\\u0061": 1}', "duplicate-field", "a is there twice"),
        (b'{"a": {"b:": 1, "b:": 1}}', "duplicate-field", "b: is there twice"),
        (b"[" * 100_000, "too-deep", "64 levels"),
        (b'{"a":' * 201 + b"1" + b"}" * 201, "too-deep", "64 levels"),
        (b"x" * (MAX_BYTES + 1), "too-large", "1048577 bytes"),
    ],
)
def test_what_is_no_json_of_ours_is_refused(value: bytes | None, code: str, says: str) -> None:
    """A code, and a message that says where or what."""
    with pytest.raises(UnreadableValueError) as caught:
        read_json(value)
    assert caught.value.error.code == code
    assert says in caught.value.error.message


@pytest.mark.parametrize("opening", [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"b":"]",\n"a":', b"}]")])
def test_64_levels_are_the_limit(opening: tuple[bytes, bytes]) -> None:
    """64 levels are read, 65 are not, of lists and objects alike."""
    left, right = opening
    levels = left.count(b"[") + left.count(b"{")
    deepest = left * (64 // levels) + b"1" + right * (64 // levels)
    assert read_json(deepest)
    with pytest.raises(UnreadableValueError, match="64 levels"):
        read_json(b"[" + deepest + b"]")


def test_brackets_side_by_side_are_not_deep() -> None:
    """Depth is counted, not brackets, and within the time that a poll has."""
    assert len(read_json(b"[" + b"[{}]," * 200_000 + b"[]]")) == 200_001


def test_the_largest_value_is_read() -> None:
    """Exactly 1 MiB passes."""
    assert len(read_json(b'"' + b"x" * (MAX_BYTES - 2) + b'"')) == MAX_BYTES - 2
