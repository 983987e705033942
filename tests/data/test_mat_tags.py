"""MATLAB files with damage in every byte are read or refused: SciPy alone crashes, which no test would survive."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest
from scipy.io import savemat

from cocoop.data.papers.raw.mat import read_mat
from cocoop.data.papers.raw.mat_tags import check_tags
from cocoop.errors import InputError

HEAD = 128


def content(tmp_path, compressed=False):
    cells = np.empty((1, 2), dtype=object)
    cells[0] = ["a", "cat"]
    kinds = [("fname", object), ("class", object)]
    variables = {
        "structs": np.array([[("1.jpg", np.uint8(1)), ("2.jpg", np.float64(2))]], dtype=kinds),
        "cells": cells,
        "numbers": np.arange(5),
        "complex": np.array([1 + 2j]),
        "empty": np.zeros((0, 3)),
    }
    savemat(tmp_path / "x.mat", variables, do_compression=compressed)
    return (tmp_path / "x.mat").read_bytes()


@pytest.mark.parametrize("compressed", [False, True])
def test_whole_files_pass(tmp_path, compressed):
    check_tags(content(tmp_path, compressed))
    assert read_mat(tmp_path / "x.mat", "structs", ("fname", "class")).shape == (2,)
    assert read_mat(tmp_path / "x.mat", "numbers").tolist() == list(range(5))


def test_damage_is_refused_or_harmless(tmp_path):
    whole, draw = content(tmp_path), random.Random(0)
    refused = 0
    for place in range(HEAD, len(whole)):
        damaged = bytearray(whole)
        damaged[place] = draw.choice([0, 1, 14, 15, 255, damaged[place] ^ 4])
        (tmp_path / "x.mat").write_bytes(damaged)
        try:
            read_mat(tmp_path / "x.mat", "structs", ("fname", "class"))
        except InputError:
            refused += 1
    assert refused > 200


def element(kind, data):
    return struct.pack("<2I", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(flags, sizes, *held):
    head = element(6, struct.pack("<2I", flags, 0)) + element(5, struct.pack(f"<{len(sizes)}i", *sizes))
    return element(14, head + element(1, b"") + b"".join(held))


@pytest.mark.parametrize(
    "data",
    [
        element(99, b"12345678"),
        element(9, b"12345678"),
        matrix(6, [1, 1]),
        matrix(6, [1, 1], element(14, b"")),
        matrix(99, [1, 1], element(9, b"12345678")),
        matrix(1, [1, 2], matrix(6, [1, 1], element(9, b"12345678"))),
        matrix(6, [2**30, 2**30], element(9, b"12345678")),
        matrix(6, [-1, 1], element(9, b"12345678")),
        matrix(6, [1, 1], element(9, b"12345678"))[:-4],
    ],
)
def test_what_is_no_matrix(data):
    with pytest.raises(ValueError):
        check_tags(b"\0" * 124 + b"\x00\x01IM" + data)


def test_matrices_deep_in_others():
    data = matrix(6, [1, 1], element(9, b"12345678"))
    for _ in range(30):
        data = matrix(1, [1, 1], data)
    with pytest.raises(ValueError, match="too deep"):
        check_tags(b"\0" * 124 + b"\x00\x01IM" + data)
