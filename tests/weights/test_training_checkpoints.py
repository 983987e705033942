"""Checkpoints of a training: what stands beside the state dict is passed over, whatever it is, and nothing is run."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from saved_tensors import expect_same
from torch import nn

from cocoop.errors import InputError
from cocoop.weights import read_weights

OFFICIAL = Path(__file__).parents[3] / "shared" / "reference" / "official_cocoop.pth.tar"


class Calls:
    """Pickled as a call of `function` with `args`."""

    def __init__(self, function, *args):
        self.parts = function, args

    def __reduce__(self):
        return self.parts


class Listed(list):
    """Pickled as an object of a class that no reader knows, with items and attributes."""


class Warmup(torch.optim.lr_scheduler.LRScheduler):
    """A scheduler that holds another as an object, as those of the original's framework do."""

    def __init__(self, optimizer, successor):
        self.successor = successor
        super().__init__(optimizer)

    def get_lr(self):
        return [1e-5 for _ in self.base_lrs]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pth.tar-3"


def checkpoint(**beside):
    """A training checkpoint after one step, and its state dict."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.002, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    scheduler = Warmup(optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10.0))
    kept = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict() | beside, "val_result": None}
    return {"state_dict": model.state_dict(), "epoch": 3, **kept}, model.state_dict()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")  # of torch.load
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_scheduler_that_is_pickled_as_an_object(path, protocol):
    saved, state = checkpoint()
    torch.save(saved, path, pickle_protocol=protocol)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    read = read_weights(path)
    expect_same(read.tensors, state)
    assert read.epoch == 3


@pytest.mark.parametrize("protocol", [2, 4])
def test_whatever_stands_there_is_data(path, tmp_path, protocol):
    marker = tmp_path / "ran"
    strange = Listed([1, Listed()])
    strange.note = {"deep": Calls(os.system, f"touch {marker}")}
    saved, state = checkpoint(extra=[strange, Calls(os.system, f"touch {marker}")], path=tmp_path)
    torch.save(saved, path, pickle_protocol=protocol)
    expect_same(read_weights(path).tensors, state)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()  # so that it means what the line above says


@pytest.mark.parametrize("key", ["state_dict", "epoch", "val_result", "other"])
def test_elsewhere_it_is_refused(path, tmp_path, key):
    marker = tmp_path / "ran"
    saved, _ = checkpoint()
    bad = {"inside": Calls(os.system, f"touch {marker}"), "scheduler": {"a": Calls(os.system, "true"), "b": 1}}
    others = {name: value for name, value in saved.items() if name != key}
    for place in (others | {key: bad}, {key: bad} | others, others | {"optimizer": [bad]}):
        torch.save(place, path)
        with pytest.raises(InputError, match=r"asks for posix\.system\. Nothing in the file was run"):
            read_weights(path)
    torch.save([saved], path)
    with pytest.raises(InputError, match="asks for torch"):
        read_weights(path)
    assert not marker.exists()


@pytest.mark.parametrize("epoch", [-1, "3", None, 2.0, True, 2**40])
def test_an_epoch_that_is_none(path, epoch):
    saved, _ = checkpoint()
    torch.save(saved | {"epoch": epoch}, path)
    assert read_weights(path).epoch is None


@pytest.mark.skipif(not OFFICIAL.is_file(), reason="no checkpoint of the original's layout beside the checkout")
def test_a_checkpoint_of_the_original(path):
    read = read_weights(OFFICIAL)
    expect_same(read.tensors, torch.load(OFFICIAL, weights_only=False)["state_dict"])
    assert read.epoch == 10
