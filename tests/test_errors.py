"""What errors say of other errors."""

import pytest

from cocoop.errors import reason


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("a bad value"), "ValueError: a bad value"),
        (OSError("no space left.\nsecond line"), "OSError: no space left"),
        (KeyError("name"), "KeyError: 'name'"),
        (RuntimeError("\n  first of all:\nmore"), "RuntimeError: first of all"),
        (TimeoutError(), "TimeoutError: no details"),
        (TimeoutError(" \n"), "TimeoutError: no details"),
    ],
)
def test_the_reason_is_one_line_that_others_can_end(error, expected):
    assert reason(error) == expected
