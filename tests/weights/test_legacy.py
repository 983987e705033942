"""Files of torch.save before torch 1.6: bit for bit what torch reads, and refusals of files that lie."""

import os
import pickle
import random
import struct

import pytest
import torch
from saved_tensors import expect_same, mappings, tensors
from torch import nn
from torch_archives import MAGIC, Rebuild, Storage, changed, numbers, pickled, write_archive, write_legacy

from cocoop.errors import InputError
from cocoop.weights import read_weights


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pt"


def save(state, path, protocol=2):
    torch.save(state, path, _use_new_zipfile_serialization=False, pickle_protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_torch_itself_reads(path, protocol):
    state = {name: tensor for name, tensor in tensors().items() if not name.startswith("float8")}  # torch cannot
    save(state, path, protocol)
    assert not path.read_bytes().startswith(b"PK")
    got = read_weights(path)
    expect_same(got.tensors, torch.load(path, weights_only=False))
    expect_same(got.tensors, state)
    assert not got.scripted
    assert got.tensors["first"].data_ptr() == got.tensors["second"].data_ptr()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int16, torch.int32, torch.complex64, torch.complex128])
def test_other_kinds_of_numbers(path, dtype):
    state = {"w": torch.tensor([0, 1, 1, 0, 1]).to(dtype)}
    save(state, path)
    expect_same(read_weights(path).tensors, state)


class OldStorage(Storage):
    """A storage has one part more in this format."""

    def __init__(self, kind, key, numel, view=None):
        super().__init__(kind, key, numel)
        self.id = (*self.id, view)


def tensor(offset=0, size=(2, 3), stride=(3, 1), kind=torch.FloatStorage, key="0", numel=6, view=None):
    return Rebuild(OldStorage(kind, key, numel, view), offset, size, stride)


def write(path, *values, **changes):
    storages = changes.pop("storages", [(6, numbers())])
    write_legacy(path, pickled({f"w{n}": value for n, value in enumerate(values)}), storages, **changes)


def test_storages_lie_in_the_order_of_the_keys(path):
    write(path, tensor(key="1"), tensor(key="0"), storages=[(6, numbers()), (6, bytes(24))], keys=["1", "0"])
    expect_same(read_weights(path).tensors, {"w0": torch.arange(6.0).view(2, 3), "w1": torch.zeros(2, 3)})


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="needs the list of mapped files of Linux")
@pytest.mark.parametrize("shift", range(8))
def test_what_lies_aligned_is_mapped_and_the_rest_is_copied(path, shift):
    """float64 in every place of a word: torch wrote numbers wherever its pickles ended."""
    draw = torch.Generator().manual_seed(1)
    state = {"w" * (shift + 1): torch.randn(500, generator=draw, dtype=torch.float64)}
    save(state, path)
    before = path.read_bytes()
    aligned = before.index(state["w" * (shift + 1)].numpy().tobytes()) % 8 == 0
    got = read_weights(path).tensors
    expect_same(got, state)
    (held,) = got.values()
    assert held.data_ptr() % 8 == 0
    assert any(start <= held.data_ptr() < end for start, end in mappings(path)) == aligned
    held.zero_()
    assert path.read_bytes() == before


def test_the_test_above_has_both(path):
    found = set()
    for length in range(1, 9):
        save({"w" * length: torch.full((9,), 1.5, dtype=torch.float64)}, path)
        found.add(path.read_bytes().index(struct.pack("<2d", 1.5, 1.5)) % 8 == 0)
    assert found == {True, False}


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (torch.ones(3, 3).to_sparse(), r"torch\._utils\._rebuild_sparse_tensor, which this reader does not know"),
        (torch.ones(1).expand(10_000), "w, which repeats fewer values"),
        (nn.Linear(1, 1), r"asks for torch\.nn\.modules\.linear\.Linear"),
    ],
)
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_what_is_no_plain_tensor(path, tensor, reason):
    save({"w": tensor}, path)
    with pytest.raises(InputError, match=reason):
        read_weights(path)


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"offset": 1}, "w0 inside its storage of 24 bytes; got one that reaches outside"),
        ({"numel": 7}, "28 bytes in storage 0; got 24"),
        ({"numel": 5}, "inside its storage of 20 bytes"),
        ({"kind": torch.DoubleStorage}, "48 bytes of storage 0; got a file that ends before"),
        ({"view": ("0", 0, 6)}, "a storage that is part of another, which this reader does not know"),
        ({"key": "1"}, "each storage of the object once; got 0"),
        ({"key": 1}, "a storage's kind, key and size"),
    ],
)
def test_a_tensor_that_lies(path, lie, reason):
    write(path, tensor(**lie))
    with pytest.raises(InputError, match=reason):
        read_weights(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"storages": [(7, numbers())]}, "28 bytes of storage 0; got a file that ends before"),
        ({"storages": [(5, numbers())]}, "24 bytes in storage 0; got 20"),
        ({"storages": [(-6, numbers())]}, "bytes of storage 0; got a file that ends before"),
        ({"storages": [(2**62, numbers())]}, "bytes of storage 0; got a file that ends before"),
        ({"storages": []}, "storage 0 in the file; got a list of storages without it"),
        ({"keys": ["0", "0"]}, "each storage of the object once; got 0"),
        ({"keys": ["7"]}, "each storage of the object once; got 7"),
        ({"keys": [["0"]]}, "each storage of the object once; got list"),
        ({"keys": ("0",)}, "a list of at most 20,000 storages"),
        ({"keys": [str(n) for n in range(20_001)]}, "a list of at most 20,000 storages"),
        ({"header": (MAGIC, 1001, {"little_endian": False})}, "little-endian numbers; got big-endian"),
        ({"header": (MAGIC, 1001, {"little_endian": 1})}, "little-endian numbers"),
        ({"header": (MAGIC, 1002, {"little_endian": True})}, "the format's mark, version 1001"),
        ({"header": (MAGIC, 1001, [1])}, "the format's mark, version 1001 and a dict"),
        ({"header": ([MAGIC], 1001, {"little_endian": True})}, "the format's mark"),
    ],
)
def test_a_file_that_lies(path, changes, reason):
    write(path, tensor(), **changes)
    with pytest.raises(InputError, match=reason):
        read_weights(path)


def test_the_files_of_these_tests_are_read_when_they_do_not_lie(path):
    write(path, tensor())
    expect_same(read_weights(path).tensors, {"w0": torch.arange(6.0).view(2, 3)})


def test_one_storage_with_items_of_two_sizes(path):
    write(path, tensor(), tensor(kind=torch.HalfStorage))
    with pytest.raises(InputError, match="storage 0 with items of one size"):
        read_weights(path)


def test_a_storage_of_this_format_in_a_zip_archive_and_the_other_way_round(path):
    write_archive(path, pickled({"w": tensor()}), numbers())
    with pytest.raises(InputError, match="the five parts of a storage"):
        read_weights(path)
    write(path, Rebuild(Storage(torch.FloatStorage, "0", 6), 0, (2, 3), (3, 1)))
    with pytest.raises(InputError, match="the six parts of a storage"):
        read_weights(path)


def test_pickles_beyond_what_is_read_of_the_file(path):
    write_legacy(path, pickle.dumps({"w" * 2**24: None}, 2))
    with pytest.raises(InputError, match="a whole pickle of at most 16,777,216 bytes"):
        read_weights(path)


def test_the_mark_in_a_file_that_is_no_pickle(path):
    path.write_bytes(b"\1\2" + MAGIC.to_bytes(10, "little") + b"\xff")
    with pytest.raises(InputError, match="a file of another kind"):
        read_weights(path)


def small(path):
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    save({"state_dict": model.state_dict(), "epoch": 3, "lr": 0.5, "extra": {(1, 2), b"x"}}, path)
    return path.read_bytes()


def test_truncated_at_every_byte(path):
    whole = small(path)
    for length in range(33, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"model\.pt: expected .* got .*[Dd]ownload it again"):
            read_weights(path)


@pytest.mark.filterwarnings("ignore:invalid escape:DeprecationWarning")  # pickletools, of an old kind of text
def test_fuzz_every_outcome_is_tensors_or_a_refusal(path):
    whole = small(path)
    draw = random.Random(30)
    pickles = whole.index(b"epoch"), whole.rindex(b"]q\0(") + 200
    reasons, read = set(), 0
    for _ in range(2_000):
        path.write_bytes(changed(whole, draw, [(0, pickles[1]), (pickles[1] - 400, pickles[1] + 60)]))
        try:
            got = read_weights(path).tensors
        except InputError as error:
            reasons.add(str(error).split(" got ")[0])
        else:
            read += 1
            assert sum(held.numel() * held.element_size() for held in got.values()) <= 2 * len(whole) + 200
            for held in got.values():
                held.clone()  # every byte is there
    assert read > 50 and len(reasons) > 20  # the changes reach every part of the reader
