"""Archives meant to do harm: refused with a reason, nothing run, memory bounded."""

import builtins
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch_archives import Entry, save_scripted, write_archive, write_zip

from cocoop.errors import InputError
from cocoop.weights import read_weights
from cocoop.weights.unpickle import read_pickle

MARK = b"("
RECORD = b"c__torch__\nM\n)\x81"
"""A new TorchScript module."""


def no_storage(parts):
    raise AssertionError(f"no program here makes the five parts of a storage; got {parts}")


class Calls:
    """Pickled as a call of `function` with `args`."""

    def __init__(self, function, *args):
        self.parts = function, args

    def __reduce__(self):
        return self.parts


def text(value):
    return b"X" + struct.pack("<L", len(value)) + value.encode()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pt"


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda marker: Calls(os.system, f"touch {marker}"), "posix.system"),
        (lambda marker: Calls(eval, f"open({str(marker)!r}, 'w')"), "builtins.eval"),
        (lambda marker: Calls(builtins.exec, f"open({str(marker)!r}, 'w')"), "builtins.exec"),
        (lambda marker: Calls(open, str(marker), "w"), "io.open"),
        (lambda marker: Calls(getattr, Calls(__import__, "os"), "system"), "builtins.getattr"),
        (lambda marker: Calls(subprocess.Popen, ["touch", str(marker)]), r"\w+\.Popen"),
        (lambda marker: Calls(torch.load, str(marker)), "torch.serialization.load"),
        (lambda marker: np.zeros(2), r"numpy\._?core.multiarray._reconstruct"),
        (lambda marker: Path("/"), r"pathlib\.\w*Path"),
    ],
)
def test_a_pickle_that_calls_something_is_refused_and_nothing_runs(path, tmp_path, call, name, protocol):
    marker = tmp_path / "it ran".replace(" ", "_")
    hidden = {"weight": torch.ones(2), "extra": [{"deep": call(marker)}]}
    # Python 2's name of the builtins is what protocol 2 writes.
    name = name.replace("builtins", "__builtin__") if protocol == 2 else name
    torch.save(hidden, path, pickle_protocol=protocol)
    with pytest.raises(InputError, match=rf"model\.pt: .* asks for {name}\. Nothing in the file was run\. Do not use"):
        read_weights(path)
    assert not marker.exists()


def test_the_pickles_of_the_test_above_do_run_something(tmp_path):
    """So that its marker means what it says."""
    marker = tmp_path / "ran"
    pickle.loads(pickle.dumps(Calls(os.system, f"touch {marker}")))
    assert marker.exists()


def test_code_of_a_torchscript_archive_is_not_recorded(path):
    """torch.jit.load would fail at it."""
    save_scripted(nn.Linear(2, 2), path)
    whole = path.read_bytes()
    start = whole.index(b"PK\3\4", whole.index(b"code/__torch__") - 40)
    path.write_bytes(whole[: start + 60] + b"#" * 60 + whole[start + 120 :])
    assert read_weights(path).tensors.keys() == {"weight", "bias"}


def tree(depth):
    """A module whose one submodule stands in it twice, and so on: 2**depth paths from 40 bytes a level."""
    opened = (RECORD + b"}" + MARK + text("a")) * depth + RECORD
    closed = (b"q" + bytes([level]) + text("b") + b"h" + bytes([level]) + b"ub" for level in range(depth))
    return b"\x80\2" + opened + b"".join(closed) + b"."


REFUSED = {
    "an instruction torch does not write": (
        b"\x80\2(ios\nsystem\n.",
        "pickle instructions that torch writes; got INST",
    ),
    "a numbered extension": (b"\x80\2\x82\1.", "got EXT1"),
    "a text of another's encoding": (b"\x80\2S'x'\n.", "got STRING"),
    "a call of a value": (b"\x80\2}(tR.", "calls that rebuild tensors; got a call of dict"),
    "a call of a module": (b"\x80\2c__torch__\nM\n)R.", r"got __torch__\.M without tensors"),
    "a new object of a function": (b"\x80\2ccollections\nOrderedDict\n)\x81.", "got one without tensors"),
    "a state of a tensor": (b"\x80\2N}b.", "modules with plain attributes; got a state of kind dict for NoneType"),
    "a state of a function": (
        b"\x80\2ccollections\nOrderedDict\n}b.",
        r"state of kind dict for collections\.OrderedDict",
    ),
    "a module with a tuple as its state": (b"\x80\2" + RECORD + b")b.", "a state of kind tuple"),
    "a module with two states": (b"\x80\2" + RECORD + b"}b}b.", "got __torch__.M without tensors"),
    "a module of arguments": (b"\x80\2c__torch__\nM\n]\x85R.", "TypeError: .* takes 0 positional arguments"),
    "a module in itself": (
        b"\x80\2" + RECORD + b"q\0}" + MARK + text("a") + b"h\0ub.",
        "modules within modules at most 32 deep",
    ),
    "a module with numbers as names": (b"\x80\2" + RECORD + b"}K\1K\1sb.", "attributes with names"),
    "a tree of exponential size": (tree(30), "modules with at most 100,000 attributes"),
    "a deep tree": (tree(40), "modules within modules at most 32 deep"),
    "a name of a million letters": (
        b"\x80\2" + RECORD + b"}" + text("a" * 10**6) + b"Nsb.",
        "attributes with names; got one of kind str",
    ),
    "names within names of over a thousand letters": (
        b"\x80\2" + RECORD + b"}" + text("a" * 600) + RECORD + b"}" + text("b" * 500) + b"Nsbsb.",
        "names of at most 1,000 letters",
    ),
    # Each call would copy them again.
    "a call of many arguments": (
        b"\x80\2ctorch\nSize\nq\0(" + b"N" * 9 + b"tq\1Rh\0h\1R.",
        "calls with at most 8 arguments; got one with 9",
    ),
    "a new object of many arguments": (b"\x80\2ctorch\nSize\n(" + b"N" * 9 + b"t\x81.", "at most 8 arguments"),
    # Whole numbers with gaps between them can be chosen so that a dict passes all it holds to find one.
    "an item remembered out of order": (b"\x80\2NNq\1.", "in places 0, 1, 2, ...; got place 1 after 0"),
    "a huge item remembered out of order": (b"\x80\4N\x94Nr\3\0\0\0.", "got place 3 after 1"),
    "a list as key": (b"\x80\2}]Ns.", "a key of kind list"),
    "a tuple as key": (b"\x80\2})Ns.", "a key of kind tuple"),
    "a huge number as key": (b"\x80\2}\x8a\x20" + b"\1" * 32 + b"Ns.", "a key of kind int"),
    "a true as key": (b"\x80\2}\x88Ns.", "a key of kind bool"),
    "bytes as key": (b"\x80\4}C\1aNs.", "a key of kind bytes"),
    "items for no set": (b"\x80\4](N\x90.", "an object of kind list"),
    "items for nothing": (b"\x80\4(N\x90.", "got IndexError: pop from empty list"),
    "an absent item": (b"\x80\2h\7.", "Memo value not found at index 7"),
    "an absent huge item": (b"\x80\2j\xff\xff\xff\xff.", "Memo value not found at index 4294967295"),
    "nothing on the stack": (b"\x80\2\x85.", "got IndexError: list index out of range"),
    "no mark": (b"\x80\2t.", "got IndexError: pop from empty list"),
    "an open mark": (b"\x80\2N(.", "got IndexError: pop from empty list"),
    "an open mark below the object": (b"\x80\2(N.", "an object of kind NoneType"),
    "two objects": (b"\x80\2NN.", "an object of kind NoneType"),
    "no object": (b"\x80\2.", "got IndexError: pop from empty list"),
    "no end": (b"\x80\2N", "a whole pickle of tensors and plain values; got ValueError: pickle exhausted"),
    "no bytes": (b"", "a whole pickle"),
    "an odd dict": (b"\x80\2}(Nu.", "got ValueError: zip"),
    "items for no dict": (b"\x80\2N(NNu.", "keys and values for a dict; got some for NoneType"),
    "items for no list": (b"\x80\2NNa.", "items for a list; got some for NoneType"),
    "a storage of nothing": (b"\x80\2NQ.", "the five parts of a storage"),
    "a name of no text": (b"\x80\4NN\x93.", "got UnpicklingError: STACK_GLOBAL requires str"),
    "a name with a screen's control codes": (b"\x80\2cx\x1b[2J\ny\n.", r"asks for 'x\\x1b\[2J.y'"),
    "a text longer than the file": (b"\x80\2X\xff\xff\xff\x7fabc.", "a whole pickle"),
    "a number of four billion digits": (b"\x80\2\x8b\xff\xff\xff\x7fabc.", "a whole pickle"),
    "a tensor without parts": (b"\x80\2ctorch._utils\n_rebuild_tensor_v2\n)R.", "TypeError: _tensor_v2.* missing 6"),
    "a tensor of a newer kind without parts": (
        b"\x80\2ctorch._utils\n_rebuild_tensor_v3\n)R.",
        "TypeError: _tensor_v3.* missing 7",
    ),
    "an OrderedDict of arguments": (b"\x80\2ccollections\nOrderedDict\nN\x85R.", "TypeError: _ordered_dict.* takes 0"),
    "a parameter without parts": (b"\x80\2ctorch._utils\n_rebuild_parameter\n)R.", "TypeError: _parameter.* missing 3"),
    "a tensor of no storage": (
        b"\x80\2ctorch._utils\n_rebuild_tensor_v2\n(NK\0))\x89NtR.",
        "a tensor's storage, offset, size and strides",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_pickles_that_torch_does_not_write(path, case):
    data, reason = REFUSED[case]
    write_archive(path, data)
    with pytest.raises(InputError, match=reason):
        read_weights(path)


def zeros(count):
    """`count` MiB of zeros, deflated to a thousandth, made without compressing them all."""
    packer = zlib.compressobj(wbits=-15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * count + zlib.compressobj(wbits=-15).flush()


def bombs(folder):
    """Files that would fill memory: kind -> path."""
    packed = {"packed": zeros(1024), "method": 8, "claimed_size": 2**30}
    archives = {
        "tensor": [Entry("a/data.pkl", tensor_pickle(2**28)), Entry("a/data/0", **packed)],
        "pickle": [Entry("a/data.pkl", **packed)],
        "lying pickle": [Entry("a/data.pkl", **{**packed, "claimed_size": 100})],
        "repeated": [Entry("a/data.pkl", tensor_pickle(2**28, stride=0, held=4)), Entry("a/data/0", bytes(16))],
        "directory": [Entry(f"a/{n}", padding=0) for n in range(300_000)],
    }
    programs = {
        "dicts": b"}" * 2**23,
        "lists": b"]" * 2**23,
        "marks": MARK * 2**23,
        "records": b"c__torch__\nM\nq\0" + b"h\0)\x81" * 1_000_000,
        "ordered": b"ccollections\nOrderedDict\nq\0" + b"h\0)R" * 1_000_000,
        "nested lists": b"]" * 240_000 + b"a" * 239_999 + b".",
        "nested modules": (RECORD + b"}" + text("a")) * 70_000 + RECORD + b"sb" * 70_000 + b".",
        "sharing": b"N" + b"q\0h\0\x86" * 120_000 + b".",
        # Each of these instructions would join two texts of 2 MiB.
        "names": text("__torch__." + "a" * 2**21) + b"q\0" + b"h\0h\0\x93" * 40_000 + b".",
        "put": b"N" + b"".join(b"r" + struct.pack("<L", 2**32 - 1 - n) for n in range(400_000)) + b".",
        "integers": b"\x8b\0\0\xf0\0" + b"\1" * (15 * 2**20) + b".",
        # A tuple of two that are the same tuple of two, and so on: its hash takes 2**60 steps.
        "shared key": b"}N" + b"q\0h\0\x86" * 60 + b"Ns.",
        # Whole numbers that differ by 2**61 - 1 have one hash: n of them in a dict take n**2 steps.
        "colliding keys": b"}" + MARK + b"".join(colliding(n) + b"N" for n in range(1, 150_000)) + b"u.",
        "deep key": b"}N" + b"\x85" * 400_000 + b"Ns.",
        "deep set": b"\x8f(N" + b"\x85" * 400_000 + b"\x90.",
        "bytes of any size": b"}" + text("w") + b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85Rs.",
        "a tensor of any size": b"}" + text("w") + b"ctorch\nTensor\nJ\xff\xff\xff\x7f\x85Rs.",
        # A tensor from three instructions: its function and its arguments are remembered.
        "tensors": tensor_pickle(1, held=1, remember=True)[2:-1] + b"h\0h\1R" * 160_000 + b".",
        "text as arguments": b"cbuiltins\nset\n" + text("a" * 2**23) + b"R.",
        "long text": b"X\xff\xff\xff\xff" + b"a" * 2**20,
    }
    for name, program in programs.items():
        storage = Entry("a/data/0", bytes(4))
        archives[name] = [Entry("a/data.pkl", b"\x80\4" + program, deflate=True), storage]
    files = {name: folder / f"{name}.pt" for name in archives}
    for name, entries in archives.items():
        write_zip(files[name], entries)
    return files


def colliding(n):
    return b"\x8a\x0a" + (n * (2**61 - 1)).to_bytes(10, "little")


def tensor_pickle(numel, stride=1, held=None, remember=False):
    """A state dict of one float32 tensor in storage 0; its function and arguments as items 0 and 1, if so."""
    numbers = b"J" + struct.pack("<l", numel) + b"\x85K" + bytes([stride]) + b"\x85"
    storage = MARK + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    storage += b"J" + struct.pack("<l", held or numel) + b"tQ"
    puts = (b"q\0", b"q\1") if remember else (b"", b"")
    call = (
        b"ctorch._utils\n_rebuild_tensor_v2\n"
        + puts[0]
        + MARK
        + storage
        + b"K\0"
        + numbers
        + b"\x89}t"
        + puts[1]
        + b"R"
    )
    return b"\x80\2}" + text("w") + call + b"s."


BOMBS = {
    "tensor": "numbers stored as they are, as torch does; got data/0 compressed",
    "pickle": "a data.pkl of at most 16,777,216 bytes; got a larger one",
    "lying pickle": "Bad CRC-32",
    "repeated": "w, which repeats fewer values",
    "directory": "a directory of at most 4,194,304 bytes",
    **dict.fromkeys(("dicts", "lists", "marks", "records", "ordered"), "a pickle of at most 500,000 instructions"),
    "nested lists": "an object of kind list",
    "nested modules": "modules within modules at most 32 deep",
    "sharing": "an object of kind tuple",
    "names": "asks for __torch__.aaaa",
    "put": "values remembered in places 0, 1, 2, ...; got place 4294967295 after 0",
    "integers": "the pickle instructions that torch writes; got LONG4",
    "long text": "a whole pickle",
    "shared key": "a dict of 1 with a key of kind tuple",
    "deep key": "a dict of 1 with a key of kind tuple",
    "colliding keys": "a dict of 149999 with a key of kind int",
    "tensors": "an object of kind Tensor",
    "text as arguments": "calls that rebuild tensors",
    "deep set": "an object of kind set",
    "bytes of any size": "a dict of 1 whose 'w' is of kind builtins.bytearray",
    "a tensor of any size": "torch.Tensor, which this reader does not know",
}
"""What each bomb of `bombs` is refused for."""

CHILD = """
import json, sys
from pathlib import Path
from cocoop.weights import read_weights
from cocoop.errors import InputError
from cocoop.results.record import peak_memory_mb, reset_peak_memory

good, *bad = map(Path, sys.argv[1:])
read_weights(good)
came = {}
for path in bad:
    reset_peak_memory()
    before = peak_memory_mb()
    try:
        read_weights(path)
        reason = "read"
    except InputError as error:
        reason = str(error)
    came[path.stem] = reason, peak_memory_mb() - before
print(json.dumps(came))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's figure of a process's peak")
def test_bombs_are_refused_within_bounded_memory(tmp_path):
    """In a process of its own: its peak, over that of reading a good file, stays far below what the bombs hold."""
    torch.save({"w": torch.ones(4)}, tmp_path / "good.pt")
    files = bombs(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "good.pt"), *map(str, files.values())],
        capture_output=True,
        text=True,
        check=True,
    )
    came = json.loads(ran.stdout)
    assert {name: reason for name, (reason, _) in came.items() if BOMBS[name] not in reason} == {}
    assert {name: peak for name, (_, peak) in came.items() if peak > 100} == {}  # MB; measured: at most 37


def test_fuzz_random_programs_of_the_pickle_machine():
    """Instructions that mostly fit together, in any order: a value or a refusal, and never a name imported."""
    draw = random.Random(9)
    values = [b"N", b"\x88", b"K\3", b"J\xff\xff\xff\xff", b"]", b"}", b")", b"(", text("a"), text("storage"), RECORD]
    values += [b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n"]
    steps = [bytes([code]) for code in b"t\x85\x86\x87aesuRb\x81Q\x94"] + [b"q\0", b"h\0"]
    outcomes = set()
    for _ in range(20_000):
        pieces = draw.choices(values, k=draw.randint(1, 6)) + draw.choices(values + steps, k=draw.randint(0, 12))
        try:
            outcomes.add(type(read_pickle(b"\x80\2" + b"".join(pieces) + b".", no_storage)).__name__)
        except InputError as error:
            outcomes.add(str(error))
    assert len(outcomes) > 40
