"""`--set NAME=VALUE`: what each value is read as."""

import pytest

from cocoop import InputError
from cocoop.cli.settings import parse_settings


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, None) for text in ("none", "None", "NONE")),
        *((text, True) for text in ("true", "True", "TRUE")),
        *((text, False) for text in ("false", "False", "FALSE")),
        *(("8", 8), ("0.5", 0.5), ("[1, 2]", [1, 2]), ('"false"', "false"), ('{"a": 1}', '{"a": 1}')),
        *((text, text) for text in ("", "no", "a {}.", "{}", "a=b", "1" * 5000, "[" * 100_000)),
        ("[" * 100_000 + "]" * 100_000, "[" * 100_000 + "]" * 100_000),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_values(text, value):
    read = parse_settings([f"x={text}"])
    assert read == {"x": value} and type(read["x"]) is type(value)


@pytest.mark.parametrize("part", ["x", "=1", "", "1x=2", "a b=1"])
def test_what_is_no_setting(part):
    with pytest.raises(InputError, match="--set: expected NAME=VALUE"):
        parse_settings([part])
