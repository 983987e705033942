"""Settings as JSON can hold them."""

import json
from fractions import Fraction
from pathlib import PurePosixPath

import numpy as np
import pytest

from cocoop import InputError
from cocoop.results.plain import plain


def test_numbers_of_any_kind_become_pythons_own():
    given = {
        "whole": np.int64(3),
        "part": [np.float32(0.5), Fraction(1, 4), (1, None)],
        "text": np.str_("a"),
        "truth": np.bool_(True),
        "by name": {"deep": np.uint8(7)},
    }
    expected = {"whole": 3, "part": [0.5, 0.25, [1, None]], "text": "a", "truth": True, "by name": {"deep": 7}}
    assert plain(given) == expected
    assert json.dumps(plain(given)) == json.dumps(expected)  # 3 is not 3.0, and True not 1


def test_lists_are_copies():
    given = {"templates": ["a {}."]}
    plain(given)["templates"].append("no {}.")
    assert given == {"templates": ["a {}."]}


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (np.array(1), "ndarray"),
        (PurePosixPath("a"), "PurePosixPath"),
        ({1, 2}, "set"),
        (b"a", "bytes"),
        (1j, "complex"),
        (float("nan"), "nan"),
        (np.float32("inf"), "inf"),
        ([{"deep": object()}], "object"),
    ],
)
def test_what_a_run_folder_cannot_keep_is_refused(value, got):
    with pytest.raises(InputError, match=rf"^(seed|deep): expected what a run folder can keep: .*; got {got}\.$"):
        plain({"seed": value})
