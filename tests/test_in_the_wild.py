"""Numbers, names and pictures as they come: an answer that means something, or an error of the package's own."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from own_photos import labelled
from PIL import Image
from safetensors.torch import load_file, save_file

from cocoop import CLIP, METHODS, CoCoOp, InputError, PromptClassifier, RunError, ZeroShot
from cocoop.clip.sources.load import BUNDLED
from cocoop.evaluation import class_probabilities
from cocoop.features import FeatureStore, encode_pictures
from cocoop.features.blocks import blocks_of
from cocoop.results import read_records

LEARNING = [name for name, method in METHODS.items() if method.learns()]


SCRIPTS = ["\u05d7\u05ea\u05d5\u05dc", "\u202ecat\u202c", "e\u0301", "\u732b", "\U0001f469\u200d\U0001f680"]


@pytest.mark.parametrize("name", [*SCRIPTS, "a\tb", "=1+1", "<b>", "&", "!"])
def test_names_of_all_scripts(tiny, name):
    features = torch.nn.functional.normalize(torch.randn(3, tiny.embed_dim), dim=1)
    assert np.allclose(class_probabilities(ZeroShot(tiny, ["cat", name + "x"]), features).sum(axis=1), 1)


@pytest.mark.parametrize("name", ["&nbsp;", "\u200b", "\u200b_\ufeff", "&#8203;", "\u3164", "\u2800", "\xa0"])
def test_names_that_show_nothing(tiny, name):
    with pytest.raises(InputError, match="class names: expected words in every name; got"):
        ZeroShot(tiny, ["cat", name])


def test_a_name_of_10_000_letters_is_refused_in_a_line(tiny):
    with pytest.raises(InputError, match=r"xx.*letters left out.*at most 77 tokens .* Shorten the class name"):
        ZeroShot(tiny, ["cat", "x" * 10_000])


def test_many_classes(tiny):
    """20,000 take the same way, and ten times as long."""
    names = [f"class {number}" for number in range(2_000)]
    features = torch.nn.functional.normalize(torch.randn(2, tiny.embed_dim), dim=1)
    probabilities = class_probabilities(ZeroShot(tiny, names), features)
    assert probabilities.shape == (2, 2_000) and np.allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("method", [ZeroShot, CoCoOp])
def test_features_of_nothing(tiny, method):
    """A zero vector has no direction: what comes is finite, and of prompts without an image's part, uniform."""
    probabilities = class_probabilities(method(tiny, ["cat", "dog"]), torch.zeros(2, tiny.embed_dim))
    assert np.isfinite(probabilities).all()
    assert np.allclose(probabilities, 0.5)


@pytest.mark.filterwarnings("ignore:cocoop")
@pytest.mark.parametrize("method", LEARNING)
@pytest.mark.parametrize("images", ["one of each class", "all equal"])
def test_few_images_and_a_batch_that_is_larger(tiny, method, images):
    two, names = labelled(1, ["one", "seven"])
    taken = two if images == "one of each class" else [two[0]] * 2
    more = {} if METHODS[method].recipe is None else {"epochs": 1, "batch_size": 64, "augment": False}
    classifier = PromptClassifier(method, clip=tiny, shots=5, **more).fit(taken, names)
    assert np.isfinite(classifier.predict_proba(two)).all()


@pytest.fixture
def damaged(tmp_path):
    """The bundled CLIP with one NaN in its image tower."""
    shutil.copytree(BUNDLED["tiny"], tmp_path / "clip")
    weights = load_file(tmp_path / "clip" / "model.safetensors")
    name = next(name for name in weights if "vision" in name and name.endswith("fc1.weight"))
    weights[name][0, 0] = float("nan")
    save_file(weights, tmp_path / "clip" / "model.safetensors")
    return CLIP.load(tmp_path / "clip", device="cpu")


def test_features_that_are_not_finite_are_an_error_and_not_kept(damaged, tmp_path):
    images, _ = labelled(1)
    told = "image features: expected finite numbers; got NaN or infinity from the CLIP .*, computing in float32. Take"
    for store in (None, FeatureStore(tmp_path / "cache", damaged)):
        with pytest.raises(RunError, match=told):
            encode_pictures(damaged, images, store)
    assert not list((tmp_path / "cache").rglob("*.features"))


def test_features_that_were_kept_although_not_finite_are_computed_again(tiny, tmp_path, monkeypatch):
    images, _ = labelled(1)
    store = FeatureStore(tmp_path / "cache", tiny)
    with monkeypatch.context() as before:
        before.setattr("cocoop.features.store.check_finite", lambda *_: None)
        before.setattr("cocoop.features.blocks._is_sound", lambda *_: True)
        before.setattr(tiny, "encode_images", lambda pixels: torch.full((len(pixels), tiny.embed_dim), torch.nan))
        assert encode_pictures(tiny, images, store)[:].isnan().all()
    monkeypatch.setattr("cocoop.features.blocks._read_through", set())  # as in another process
    [place] = {path.parent for path in (tmp_path / "cache").rglob("*.features")}
    assert len(blocks_of(place)) == 1
    assert encode_pictures(tiny, images, store)[:].isfinite().all()


@pytest.mark.parametrize("size", [(0, 5), (1, 1), (1, 5000), (5000, 1)])
def test_pictures_without_width(tiny, size):
    if 0 in size:
        with pytest.raises(InputError, match="expected a picture with pixels"):
            encode_pictures(tiny, [Image.new("RGB", size)])
    else:
        assert encode_pictures(tiny, [Image.new("RGB", size)])[:].isfinite().all()


def test_a_folder_that_cannot_be_listed_is_not_left_out(tmp_path, monkeypatch):
    """Its runs would be missing in the table without a word."""
    (tmp_path / "locked").mkdir()

    def walk(top, onerror=None):
        onerror(PermissionError(13, "Permission denied", str(tmp_path / "locked")))
        return iter([])

    monkeypatch.setattr("os.walk", walk)
    with pytest.raises(InputError, match="locked: expected a folder that can be listed; got Permission denied"):
        read_records([tmp_path])


@pytest.mark.parametrize("place", ["n" * 300, "n" * 10_000, "a/" * 5000, "\0"])
def test_places_of_any_length(tiny, place):
    from cocoop import Predictor, read_dataset
    from cocoop.data import LeftOut, read_class_names
    from cocoop.serving import named_pictures

    for read in (
        PromptClassifier.load,
        Predictor.load,
        CLIP.load,
        read_dataset,
        read_class_names,
        lambda given: read_records([given]),
        lambda given: list(named_pictures([given], LeftOut())),
        lambda given: list(named_pictures([f"@{given}"], LeftOut())),
        lambda given: list(named_pictures([f"{given}.csv:x"], LeftOut())),
        lambda given: encode_pictures(tiny, [given]),
    ):
        with pytest.raises(InputError):
            read(place)
