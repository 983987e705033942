"""Values beside a checkpoint's tensors: read past when harmless, refused in a tone that fits when not."""

import collections
import pickle
import re

import numpy as np
import pytest
import torch
from saved_tensors import expect_same
from torch import nn
from torch._weights_only_unpickler import _get_allowed_globals

from cocoop.errors import InputError
from cocoop.weights import read_weights
from cocoop.weights.stand_ins import Inert
from cocoop.weights.unpickle import read_pickle


@pytest.fixture
def path(tmp_path):
    return tmp_path / "epoch_3.pt"


def no_storage(parts):
    raise AssertionError(f"a pickle without tensors refers to {parts}")


protocols = pytest.mark.parametrize("protocol", [2, 4, 5])


@pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")
@protocols
@pytest.mark.parametrize("multiarray", ["numpy._core.multiarray", "numpy.core.multiarray"])
def test_a_checkpoint_of_open_clip_whose_learning_rate_is_a_number_of_numpy(path, protocol, multiarray, monkeypatch):
    """A cosine schedule computed with numpy leaves np.float64 in the optimizer; numpy 1 called its module `core`."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    for group in optimizer.param_groups:
        group["lr"] = 0.5 * (1 + np.cos(np.pi * 3 / 10)) * 5e-4
    assert type(optimizer.state_dict()["param_groups"][0]["lr"]) is np.float64
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    scaler = torch.amp.GradScaler("cpu").state_dict()
    saved = {"epoch": 3, "name": "run", "state_dict": state, "optimizer": optimizer.state_dict(), "scaler": scaler}
    monkeypatch.setattr(np._core.multiarray.scalar, "__module__", multiarray)
    torch.save(saved, path, pickle_protocol=protocol)
    assert multiarray.encode() in path.read_bytes()
    expect_same(read_weights(path).tensors, state)


BESIDE = {
    "sets": {1, 2},
    "sets of tuples": {(1, (2, 3)), ()},
    "frozen sets": {"a": 1, "b": b"\xff\x00"},
    "bytes": [b"", b"ab", b"\xff" * 300, b"x" * 70_000],
    "bytearray": bytearray(b"ab"),
    "complex": 1 + 2j,
    "Counter": collections.Counter("aab"),
    "scalars": [np.float32(1), np.int64(3), np.bool_(True)],
    "other keys": {0.5: 1, None: 2, True: 3, (1, (2, "x")): 4, 2**70: 5, -1: 6},
    "devices": [torch.device("cuda", 0), torch.device("cpu")],
    "sizes": torch.Size([1, 2]),
    "random state": torch.get_rng_state(),
    "numbers": [2**70, -5, 1e300, float("nan"), True, None, torch.float16],
}


@protocols
@pytest.mark.parametrize("case", BESIDE)
def test_what_stands_beside_the_state_dict_does_not_matter(path, case, protocol):
    state = nn.Linear(3, 2).state_dict()
    saved = {"beside": BESIDE[case], "state_dict": state, "after": [BESIDE[case]], 0.5: None, None: (1,)}
    torch.save(saved, path, pickle_protocol=protocol)
    expect_same(read_weights(path).tensors, state)


def test_frozen_sets():
    (found,) = read_pickle(pickle.dumps([frozenset({1, (2, 3)})], 4), no_storage)
    assert isinstance(found, Inert) and found.name == "frozenset"


def test_keys_that_could_be_made_to_collide_or_are_long_to_compare_are_not_hashed():
    """A dict passes all it holds to find a whole number that was chosen for it, and compares texts of one hash."""
    held = read_pickle(pickle.dumps({2**61: 0, 3: 1, "a" * 1_001: 2, "a" * 1_000: 3}, 2), no_storage)
    assert [type(key) for key in held] == [Inert, Inert, Inert, str] and list(held.values()) == [0, 1, 2, 3]


def test_a_parameter_with_an_attribute(path):
    parameter = nn.Parameter(torch.arange(3.0))
    parameter.is_norm = True
    torch.save({"w": parameter}, path)
    assert b"_rebuild_parameter_with_state" in path.read_bytes()
    expect_same(read_weights(path).tensors, {"w": torch.arange(3.0)})


def tagged():
    tensor = torch.ones(2)
    tensor.tag = "a"
    return tensor


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (tagged(), "torch._tensor._rebuild_from_type_v2"),
        (torch.ones(2).to_sparse(), "torch._utils._rebuild_sparse_tensor"),
        (torch.ones(2, device="meta"), "torch._utils._rebuild_meta_tensor_no_storage"),
        (torch.ones(2, dtype=torch.complex64).conj(), "tensors with further properties, such as conjugated ones"),
        (torch.quint8, "torch.quint8"),
    ],
)
def test_what_the_reader_does_not_know_is_not_called_harmful(path, value, name):
    torch.save({"w": value}, path)
    with pytest.raises(InputError, match=re.escape(f"got {name}, which this reader does not know. Save")) as refusal:
        read_weights(path)
    assert "Do not use" not in str(refusal.value)


def outcome(name):
    module, _, last = name.rpartition(".")
    try:
        read_pickle(b"\x80\2c" + f"{module}\n{last}\n.".encode(), no_storage)
    except InputError as error:
        return "unknown" if "which this reader does not know" in str(error) else "unsafe"
    return "known"


def test_every_name_that_torch_takes_is_known_or_said_to_be_unknown():
    allowed = {name: outcome(name) for name in _get_allowed_globals()}
    assert "unsafe" not in allowed.values()
    assert {"known", "unknown"} <= set(allowed.values())


@pytest.mark.parametrize(
    "name",
    [
        "torch.load",
        "torch.save",
        "torch.hub.load",
        "torch.serialization.load",
        "torch._utils._import_dotted_name",
        "torch._utils.x._rebuild_tensor",
        "torch._tensor.Tensor",
        "torch.storage._load_from_bytes",
        "torch.from_file",
        "torch.compile",
        "torch.utils.data.Dataset",
        "xtorch.Tensor",
        "torch.Tensor.backward",
        "torch.uint8.x",
        "numpy.ndarray",
        "collections.defaultdict",
        "builtins.eval",
        "builtins.getattr",
        "builtins.type",
        "_codecs.decode",
    ],
)
def test_other_names_are_refused(name):
    assert outcome(name) == "unsafe"
