"""Archives for the tests of the weights reader: as OpenAI's are, and as an attacker would write them byte by byte."""

import io
import pickle
import struct
import warnings
import zlib
from dataclasses import dataclass

import torch
from torch import nn

BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "input_resolution", "context_length", "vocab_size")


class _Part(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def write_openai_archive(path, state, half=True):
    """Write a TorchScript archive whose modules, parameters and buffers have the names of `state`, as OpenAI's do.

    `state` is a state dict in OpenAI's names; its floating-point tensors become float16 unless `half` is False.
    The three numbers that OpenAI's archives hold beside the weights are added where `state` lacks them.
    """
    root = _Part()
    for name, tensor in {**_sizes(state), **state}.items():
        *modules, last = name.split(".")
        part = root
        for module in modules:
            if module not in part._modules:
                part.add_module(module, _Part())
            part = part._modules[module]
        value = tensor.half() if half and tensor.is_floating_point() else tensor.clone()
        if last in BUFFERS:
            part.register_buffer(last, value)
        else:
            part.register_parameter(last, nn.Parameter(value, requires_grad=False))
    save_scripted(root, path)


def save_scripted(module, path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        torch.jit.script(module).save(str(path))


def load_scripted(path):
    """What torch itself reads from an archive that the test has written."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        return torch.jit.load(str(path)).state_dict()


def _sizes(state):
    numbers = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}
    if "positional_embedding" in state:
        numbers["context_length"] = state["positional_embedding"].shape[0]
    if "token_embedding.weight" in state:
        numbers["vocab_size"] = state["token_embedding.weight"].shape[0]
    if "visual.attnpool.positional_embedding" in state:  # a ResNet halves the resolution five times
        numbers["input_resolution"] = 32 * round((len(state["visual.attnpool.positional_embedding"]) - 1) ** 0.5)
    elif "visual.positional_embedding" in state:
        grid = round((len(state["visual.positional_embedding"]) - 1) ** 0.5)
        numbers["input_resolution"] = grid * state["visual.conv1.weight"].shape[-1]
    return {name: torch.tensor(number) for name, number in numbers.items()}


@dataclass
class Entry:
    """One entry of a zip archive, in which everything may be a lie. None: the truth."""

    name: str
    data: bytes = b""
    deflate: bool = False
    method: int | None = None
    packed: bytes | None = None  # the bytes as they lie in the file
    claimed_size: int | None = None
    claimed_packed: int | None = None
    flags: int = 0
    local_name: str | None = None
    at: int | None = None  # the offset of its local header in the directory
    padding: int | None = None  # before its bytes; None: to a multiple of 64, as torch does


def write_zip(path, entries):
    """A zip archive written from the format's description, without `zipfile`."""
    body, directory = bytearray(), bytearray()
    for entry in entries:
        deflater = zlib.compressobj(wbits=-15)
        packed = entry.packed
        if packed is None:
            packed = deflater.compress(entry.data) + deflater.flush() if entry.deflate else entry.data
        method = entry.method if entry.method is not None else 8 * entry.deflate
        size = len(entry.data) if entry.claimed_size is None else entry.claimed_size
        held = len(packed) if entry.claimed_packed is None else entry.claimed_packed
        common = struct.pack("<5H3L", 20, entry.flags, method, 0, 0, zlib.crc32(entry.data), held, size)
        offset = len(body) if entry.at is None else entry.at
        local, name = (entry.local_name or entry.name).encode(), entry.name.encode()
        padding = -(len(body) + 30 + len(local)) % 64 if entry.padding is None else entry.padding
        body += b"PK\3\4" + common + struct.pack("<2H", len(local), padding) + local + bytes(padding) + packed
        directory += b"PK\1\2" + struct.pack("<H", 20) + common
        directory += struct.pack("<5H2L", len(name), 0, 0, 0, 0, 0, offset) + name
    end = struct.pack("<4H2LH", 0, 0, len(entries) & 0xFFFF, len(entries) & 0xFFFF, len(directory), len(body), 0)
    path.write_bytes(body + directory + b"PK\5\6" + end)


def write_archive(path, pickle, *storages, folder="archive"):
    """An archive of torch.save with this pickle and the bytes of storages 0, 1, ..."""
    data = [Entry(f"{folder}/data/{key}", held) for key, held in enumerate(storages)]
    write_zip(path, [Entry(f"{folder}/data.pkl", pickle), *data])


def changed(whole, random, places):
    """The bytes with one to four changes, most of them in the first two of `places` (start, end)."""
    held = bytearray(whole)
    for _ in range(random.randint(1, 4)):
        start, end = random.choice([places[0]] * 4 + [places[1]] * 4 + places[2:] + [(0, len(whole))])
        at = min(random.randrange(start, end), len(held) - 1)
        kind = random.randrange(6)
        if kind == 0:
            held[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            held[at] = random.choice(b"\0\1\x7f\x80\xff()}].hjqrtbRQ\x81\x85")
        elif kind == 2:
            held[at : at + 4] = random.choice([b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f", b"\0\0\0\x80"])
        elif kind == 3:
            del held[at : at + random.randint(1, 20)]
        elif kind == 4:
            held[at:at] = held[at : at + random.randint(1, 20)]
        elif random.random() < 0.1:
            del held[at:]
    return held


class Storage:
    """Pickled as torch pickles a storage: by a persistent id."""

    def __init__(self, kind, key, numel):
        self.id = ("storage", kind, key, "cpu", numel)


class Rebuild:
    """Pickled as torch pickles a tensor: a call of `_rebuild_tensor_v2`."""

    def __init__(self, storage, offset, size, stride):
        self.parts = (storage, offset, size, stride, False, {})

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.parts


def pickled(value, protocol=2):
    class Pickler(pickle.Pickler):
        def persistent_id(self, held):
            return held.id if isinstance(held, Storage) else None

    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()


def numbers(count=6):
    return struct.pack(f"<{count}f", *range(count))
