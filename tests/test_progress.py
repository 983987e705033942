"""Durations in words."""

import pytest

from cocoop.progress import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 seconds"),
        (119.4, "119 seconds"),
        (120, "2.0 minutes"),
        (576, "9.6 minutes"),
        (3_600, "1.0 hours"),
        (9_000, "2.5 hours"),
        (7_200_000, "2,000.0 hours"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words
