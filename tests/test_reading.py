"""Text and JSON of strangers: bounded, and what is more than a reader expects is a `ValueError`."""

import io
import json
import os

import pytest

from cocoop import reading
from cocoop.reading import MAX_DEPTH, lines, parse_json, read_json, read_text


@pytest.mark.parametrize(
    "text",
    [
        "[" * 2000 + "]" * 2000,
        "[" * 100_000,
        '{"a":' * 2000 + "1" + "}" * 2000,
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "NaN",
        "[-Infinity]",
        '{"a": 1e999}',
        f"[{2**63}]",
        "1" * 5000,
        "",
        "{",
        '{"a": 1} x',
    ],
)
def test_refused(text):
    with pytest.raises(ValueError):
        parse_json(text)


def test_what_is_written_here_is_read():
    content = {"a": [1, -(2**63), 2**63 - 1, 1e308, None, True, "\u202e"], "b": {"c": [[]]}}
    assert parse_json(json.dumps(content)) == content
    deep = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert json.dumps(parse_json(deep)) == deep


def test_numbers_as_they_are_written():
    assert parse_json("[01e5, 1.50]".replace("0", "", 1), numbers_as_text=True) == ["1e5", "1.50"]
    assert parse_json(f"[{'9' * 5000}]", numbers_as_text=True) == ["9" * 5000]


def test_a_text_with_any_line_ends_and_the_mark_of_windows(tmp_path):
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(tmp_path / "x") == "a\nb\nc\n"


def test_a_larger_file_is_refused_before_it_is_in_memory(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("[1, 2]")
    assert read_json(path, at_most=6) == [1, 2]
    with pytest.raises(ValueError, match="more than 5 bytes"):
        read_json(path, at_most=5)


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    with open(tmp_path / "x", "wb") as file:
        file.write(b"path,label\n")
        os.truncate(file.fileno(), 2**30)  # zeros that take no room
    with (
        open(tmp_path / "x", encoding="utf-8") as file,
        pytest.raises(ValueError, match="a line of more than 16,777,216"),
    ):
        list(lines(file))
    monkeypatch.setattr(reading, "MAX_LINE", 5)
    assert list(lines(io.BytesIO(b"abc\n\nd"))) == [b"abc\n", b"\n", b"d"]
