"""Files of tensors tell when anything in them has changed."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cocoop.errors import InputError
from cocoop.results.tensors import read_tensors, read_with_texts, write_tensors

TENSORS = {
    "ctx": np.arange(12, dtype=np.float32).reshape(3, 4),
    "scale": np.array(2.5, np.float64),
    "labels": np.arange(3, dtype=np.int32),
    "sample": np.ones((2, 3), np.float16),
    "none": np.zeros((0, 5), np.float32),
}


@pytest.fixture
def path(tmp_path):
    write_tensors(tmp_path / "x.safetensors", TENSORS, {"told": "text"})
    return tmp_path / "x.safetensors"


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(
        (ours[name].dtype, ours[name].shape) == (theirs[name].dtype, theirs[name].shape)
        and np.array_equal(ours[name], theirs[name])
        for name in ours
    )


def test_come_back_here_and_by_others(path):
    tensors, texts = read_with_texts(path)
    assert same(tensors, TENSORS) and texts == {"told": "text"}
    assert same(read_tensors(path), load_file(path))


def test_files_without_a_checksum_are_read(tmp_path):
    save_file(TENSORS, tmp_path / "x.safetensors")
    assert same(read_tensors(tmp_path / "x.safetensors"), TENSORS)


def test_every_flipped_bit_is_refused_or_changes_nothing(path):
    """A header that says the same in other letters, such as a blank for another, changes nothing."""
    whole = path.read_bytes()
    begun = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for place in range(len(whole)):
        for bit in (1, 64):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            try:
                assert same(read_tensors(path), TENSORS) and place < begun
            except InputError as error:
                assert "x.safetensors: expected a safetensors file; got " in str(error)
                refused += 1
    assert refused > 1.8 * len(whole)


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2", "BOOL", "U64"])
def test_numbers_of_another_kind(tmp_path, kind):
    """As a stranger may write them: whole, and of a type that NumPy may not have."""
    width = {"BF16": 2, "U64": 8}.get(kind, 1)
    header = f'{{"a":{{"dtype":"{kind}","shape":[2],"data_offsets":[0,{2 * width}]}}}}'.encode()
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 2 * width)
    try:
        assert read_tensors(tmp_path / "x")["a"].dtype.kind in "bu"
    except InputError as error:
        assert "'a' of" in str(error)
