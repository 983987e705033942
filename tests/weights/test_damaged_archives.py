"""Good archives cut short or changed at random: tensors whose every byte is there, or a refusal."""

import random
import struct
import zlib

import pytest
import torch
from torch import nn
from torch_archives import changed, save_scripted

from cocoop.errors import InputError
from cocoop.weights import read_weights


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pt"


def small_archives(folder):
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    torch.save({"state_dict": model.state_dict(), "epoch": 3, "lr": 0.5}, folder / "saved.pt")
    save_scripted(model.half(), folder / "scripted.pt")
    return [(folder / name).read_bytes() for name in ("saved.pt", "scripted.pt")]


def test_truncated_at_every_1000th_byte(path, tmp_path):
    state = {f"w{n}": torch.randn(40, 40) for n in range(20)}
    torch.save(state, path)
    save_scripted(nn.Sequential(*(nn.Linear(40, 40) for _ in range(10))), tmp_path / "scripted.pt")
    for whole in (path.read_bytes(), (tmp_path / "scripted.pt").read_bytes()):
        assert len(whole) > 50_000
        for length in [*range(0, len(whole), 1000), len(whole) - 1]:
            path.write_bytes(whole[:length])
            with pytest.raises(InputError, match=r"model\.pt: expected .* got .*[Dd]ownload it again"):
                read_weights(path)


def regions(whole):
    """Where the structure lies: the pickle, the directory with the end, and the entries' own headers."""
    start = whole.index(b"data.pkl")
    headers = [at for at in range(len(whole)) if whole.startswith(b"PK\3\4", at)]
    return [(start, start + 1_200), (whole.index(b"PK\1\2"), len(whole)), *((at, at + 40) for at in headers)]


def mutated(whole, random):
    """The bytes changed, most often in the structure; the checksum right in most."""
    held = changed(whole, random, regions(whole))
    return fixed_checksum(held) if random.random() < 0.7 else held


def fixed_checksum(held):
    """The directory's checksum of data.pkl made right, so that changes of the pickle reach the pickle machine."""
    entry = held.find(b"PK\1\2")
    while entry >= 0:
        if held[entry + 46 : entry + 100].split(b"PK")[0].endswith(b"data.pkl") and len(held) > entry + 46:
            size, name = struct.unpack_from("<L", held, entry + 20)[0], struct.unpack_from("<H", held, entry + 28)[0]
            offset = struct.unpack_from("<L", held, entry + 42)[0]
            if offset + 30 < len(held) and name < 100:
                lengths = struct.unpack_from("<2H", held, offset + 26)
                start = offset + 30 + sum(lengths)
                struct.pack_into("<L", held, entry + 16, zlib.crc32(held[start : start + size]))
        entry = held.find(b"PK\1\2", entry + 1)
    return held


@pytest.mark.parametrize("kind", [0, 1], ids=["torch.save", "torchscript"])
def test_fuzz_every_outcome_is_tensors_or_a_refusal(path, tmp_path, kind):
    whole = small_archives(tmp_path)[kind]
    draw = random.Random(20 + kind)
    reasons, read = set(), 0
    for _ in range(1_500):
        path.write_bytes(mutated(whole, draw))
        try:
            tensors = read_weights(path).tensors
        except InputError as error:
            reasons.add(str(error).split(" got ")[0])
        else:
            read += 1
            assert sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) <= 2 * len(whole) + 200
            for tensor in tensors.values():
                tensor.clone()  # every byte is there
    assert read > 50 and len(reasons) > 20  # the changes reach every part of the reader
