"""`read_weights` over every kind of file: bit for bit what torch and safetensors themselves read, and refusals."""

import gzip
import json
import os
import re
import struct
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from saved_tensors import expect_same, mappings, tensors
from torch import nn
from torch_archives import load_scripted, save_scripted, write_openai_archive

from cocoop.errors import InputError
from cocoop.weights import read, read_weights
from cocoop.weights.archive import read_archive


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_torch_save(tmp_path, protocol):
    path = tmp_path / "model.whatever"
    torch.save(tensors(), path, pickle_protocol=protocol)
    got = read_weights(path)
    expect_same(got.tensors, torch.load(path, weights_only=False))
    expect_same(got.tensors, tensors())
    assert not got.scripted
    assert got.tensors["first"].data_ptr() == got.tensors["second"].data_ptr()


def test_safetensors(tmp_path):
    path = tmp_path / "model.bin"
    state = {name: tensor.detach().contiguous() for name, tensor in tensors().items() if name != "second"}
    save_file(state, path)
    expect_same(read_weights(path).tensors, load_file(path))
    expect_same(read_weights(path).tensors, state)


class Scripted(nn.Module):
    """Parameters, buffers, submodules, a shared submodule, and attributes of every plain kind."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2, bias=False))
        self.again = self.layers[0]
        self.tied = self.layers[0].weight
        self.register_buffer("number", torch.tensor(224))
        self.heads, self.rate, self.title, self.nothing = 8, 0.5, "clip", None
        self.sizes, self.rates, self.flags = [1, 2], [0.5], [True]
        self.by_name = {"a": 1}
        self.device = torch.device("cpu")
        self.pair = (1, "x")

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
def test_torchscript(tmp_path, dtype):
    torch.manual_seed(3)
    path = tmp_path / "model.pt"
    module = Scripted().to(dtype)
    save_scripted(module, path)
    got = read_weights(path)
    assert got.scripted
    expect_same(got.tensors, load_scripted(path))
    expect_same(got.tensors, module.state_dict())
    assert {"layers.1.running_mean", "again.weight"} <= got.tensors.keys()


def test_an_archive_like_openai(tmp_path):
    draw = torch.Generator().manual_seed(1)
    shapes = {
        "visual.conv1.weight": (8, 3, 16, 16),
        "visual.positional_embedding": (50, 8),
        "visual.bn1.running_var": (8,),
        "transformer.resblocks.0.attn.in_proj_weight": (24, 8),
        "transformer.resblocks.11.ln_1.bias": (8,),
        "token_embedding.weight": (30, 8),
        "positional_embedding": (9, 8),
        "logit_scale": (),
    }
    state = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    state["visual.bn1.num_batches_tracked"] = torch.tensor(5)
    numbers = {"input_resolution": 112, "context_length": 9, "vocab_size": 30}
    for half in (True, False):
        path = tmp_path / f"{half}.pt"
        write_openai_archive(path, state, half=half)
        wanted = {
            name: tensor.half() if half and tensor.is_floating_point() else tensor for name, tensor in state.items()
        }
        expect_same(read_weights(path).tensors, wanted | {name: torch.tensor(n) for name, n in numbers.items()})


def test_a_training_checkpoint_gives_its_state_dict(tmp_path):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    saved = {
        "epoch": 32,
        "name": "ViT-B-32",
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 2**40},
    }
    torch.save(saved, tmp_path / "epoch_32.pt")
    expect_same(read_weights(tmp_path / "epoch_32.pt").tensors, model.state_dict())


def write_shards(folder, weight_map=None, **index):
    state = {f"layer{n}": torch.full((2,), float(n)) for n in range(5)}
    save_file({name: state[name] for name in ("layer0", "layer1")}, folder / "model-1.safetensors")
    torch.save({name: state[name] for name in ("layer2", "layer3", "layer4")}, folder / "model-2.bin")
    files = {name: "model-1.safetensors" if name < "layer2" else "model-2.bin" for name in state}
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {**files, **(weight_map or {})}, "metadata": {}, **index}))
    return path, state


def test_shards(tmp_path, monkeypatch):
    path, state = write_shards(tmp_path)
    asked = []
    monkeypatch.setattr(read, "read_archive", lambda path: asked.append(path.name) or read_archive(path))
    got = read_weights(path)
    expect_same(got.tensors, state)
    assert not got.scripted
    assert asked == ["model-2.bin"]  # once, for its three tensors


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"layer9": "model-1.safetensors"}, "3 tensors in model-1.safetensors; got it without layer9"),
        ({"layer9": "model-3.bin"}, "the file model-3.bin beside the index"),
        ({"layer9": "../model-1.safetensors"}, r"plain names of files beside the index; got \.\./model-1"),
        ({"layer9": "/etc/passwd"}, "plain names of files"),
        ({"layer9": ".."}, "plain names of files"),
        ({"layer9": 7}, "plain names of files"),
        ({"layer9": "a\0b"}, "plain names of files"),
        ({"layer9": "model.safetensors.index.json"}, "a JSON file"),
    ],
)
def test_an_index_that_cannot_be_followed(tmp_path, changed, reason):
    path, _ = write_shards(tmp_path, changed)
    with pytest.raises(InputError, match=reason):
        read_weights(path)


def test_a_damaged_shard_is_named(tmp_path):
    path, _ = write_shards(tmp_path)
    shard = tmp_path / "model-2.bin"
    shard.write_bytes(shard.read_bytes()[:500])
    with pytest.raises(InputError, match=r"model-2\.bin: expected a zip archive with its directory"):
        read_weights(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"weight_map": {', "an index of shards in JSON"),
        ('{"weight_map": {}}', "a JSON file"),
        ('{"model_type": "clip"}', "a JSON file"),
        ('{"weight_map": ' + "[" * 100_000 + "]" * 100_000 + "}", "an index of shards in JSON"),
    ],
)
def test_json_that_is_no_index(tmp_path, text, reason):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=reason):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "an empty file"),
        (bytes(4096), "a file that begins with zeros"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 600\n", "a Git LFS pointer.*git lfs pull"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "a web page"),
        (b"<HTML>", "a web page"),
        (b"[1, 2]", "a JSON file"),
        (b"Not found\n", "a text file"),
        (b"12345678{}", "a text file"),
        (gzip.compress(b"x" * 99), "a gzip archive.*Unpack it"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x80\x04N.", "a pickle of Python objects"),
        (b"\x01\x02\x03\xff" * 9, "a file of another kind .it begins with the bytes 01 02 03 ff"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value[:20],
)
def test_another_kind_of_file_is_named(tmp_path, content, kind):
    path = tmp_path / "ViT-B-16.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"ViT-B-16\.pt: expected weights: .* got {kind}"):
        read_weights(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_file_from_before_torch_1_6_is_refused_with_what_to_do(tmp_path, protocol):
    path, again = tmp_path / "old.pt", tmp_path / "new.pt"
    state = {name: tensor for name, tensor in tensors().items() if not name.startswith("float8")}  # torch cannot
    torch.save(state, path, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    with pytest.raises(
        InputError, match=r"got a file of torch\.save from before torch 1\.6\. Save it .*`(.*)`\.$"
    ) as refusal:
        read_weights(path)
    if protocol == 2:  # torch's own default, and all that its safe reader takes
        command = re.search(r"`(.*)`", str(refusal.value))[1].replace("OLD", str(path)).replace("NEW", str(again))
        subprocess.run([sys.executable, "-c", f"import torch; {command}"], check=True)
        expect_same(read_weights(again).tensors, state)


@pytest.mark.parametrize(
    ("saved", "reason"),
    [
        ([torch.ones(2)], "an object of kind list"),
        ({}, "without tensors"),
        ({"state_dict": {}}, "without tensors"),
        ({"model": {"weight": torch.ones(2)}, "epoch": 3}, "a dict of 2 whose 'model' is of kind dict"),
        ({"weight": torch.ones(2), "scale": 4.6}, "whose 'scale' is of kind float"),
        ({3: torch.ones(2)}, "a dict of 1 with a key of kind int"),
        ({None: torch.ones(2), "w": torch.ones(2)}, "a dict of 2 with a key of kind NoneType"),
        ({"w": {1, 2}}, r"whose 'w' is of kind (__builtin__\.)?set"),
        ([b"w"], "an object of kind list"),
        (torch.ones(2), "an object of kind Tensor"),
    ],
)
def test_a_file_of_torch_save_without_a_state_dict(tmp_path, saved, reason):
    torch.save(saved, tmp_path / "model.pt")
    with pytest.raises(InputError, match=f"expected a state dict, .* got .*{reason}"):
        read_weights(tmp_path / "model.pt")


def test_a_torchscript_model_without_tensors(tmp_path):
    save_scripted(nn.ReLU(), tmp_path / "model.pt")
    with pytest.raises(InputError, match="a TorchScript model with weights"):
        read_weights(tmp_path / "model.pt")


def test_absent_and_unreadable_files(tmp_path):
    with pytest.raises(InputError, match=r"absent\.pt: .* No such file"):
        read_weights(tmp_path / "absent.pt")
    with pytest.raises(InputError, match="directory"):
        read_weights(tmp_path)


def test_an_unfinished_download_of_safetensors(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.randn(100, 100)}, path)
    whole = path.read_bytes()
    for length in (9, 40, 1000, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="a whole safetensors file"):
            read_weights(path)


def test_more_tensors_than_any_model_has(tmp_path):
    """Each may be empty, so that a small file has any number of them."""
    tensor = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"w{n}": tensor for n in range(20_001)}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(InputError, match=r"model\.safetensors: expected at most 20,000 tensors; got 20,001"):
        read_weights(path)
    path.write_bytes(struct.pack("<Q", 2**24 + 1) + b"{}".ljust(2**24 + 1))  # a list that alone takes much memory
    with pytest.raises(InputError, match=r"expected weights: .* got a file of another kind"):
        read_weights(path)
    path, _ = write_shards(tmp_path, {f"w{n}": "model-2.bin" for n in range(20_000)})
    with pytest.raises(InputError, match=r"index\.json: expected at most 20,000 tensors; got 20,005"):
        read_weights(path)


@pytest.mark.parametrize("length", [123, 31_520])
def test_a_safetensors_header_whose_length_begins_as_json_does(tmp_path, length):
    """123 is "{" itself, and 31,520 is " {": the length's bytes are the file's first."""
    path = tmp_path / "model.safetensors"
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).ljust(length).encode()
    path.write_bytes(struct.pack("<Q", length) + header + struct.pack("<2f", 1, 2))
    assert path.read_bytes().lstrip().startswith(b"{")
    expect_same(read_weights(path).tensors, {"w": torch.tensor([1.0, 2.0])})


@pytest.mark.parametrize("name", [b"caf\351.pt", b"caf\351.safetensors", b"caf\351/model.pt"])
def test_a_path_that_is_not_utf_8(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    try:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    state = {"w": torch.ones(2)}
    with path.open("wb") as file:
        if path.suffix == ".pt":
            torch.save(state, file)
        else:
            file.write(save(state))
    with pytest.raises(InputError, match=r"caf\\udce9.* a path in UTF-8, .* Rename the file or its folder") as refusal:
        read_weights(path)
    str(refusal.value).encode()  # can be shown


def test_an_index_that_names_a_file_that_is_not_utf_8(tmp_path):
    path, _ = write_shards(tmp_path, {"layer9": "caf\udce9.bin"})
    try:
        (tmp_path / "caf\udce9.bin").write_bytes(b"x")
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    with pytest.raises(InputError, match=r"caf\\udce9.* a path in UTF-8"):
        read_weights(path)


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="needs the list of mapped files of Linux")
@pytest.mark.parametrize("kind", ["torch.save", "torchscript", "safetensors"])
def test_tensors_are_mapped_from_the_file_and_writing_does_not_change_it(tmp_path, kind):
    path = tmp_path / "weights"
    module = nn.Linear(300, 200)
    if kind == "torchscript":
        save_scripted(module, path)
    elif kind == "safetensors":
        save_file(module.state_dict(), path)
    else:
        torch.save(module.state_dict(), path)
    before = path.read_bytes()
    got = read_weights(path).tensors
    for tensor in got.values():
        assert any(start <= tensor.data_ptr() < end for start, end in mappings(path))
        tensor.zero_()
    assert path.read_bytes() == before
    del tensor, got
    assert mappings(path) == []
