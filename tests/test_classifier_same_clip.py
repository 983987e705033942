"""A run is used with the CLIP and the tokenizer that it was trained on, and says so of others."""

import json
import shutil

import pytest
import torch
from own_photos import digit_images, labelled
from safetensors.torch import load_file, save_file

from cocoop import CLIP, InputError, PromptClassifier, RunError
from cocoop.clip.sources.load import BUNDLED

IMAGES, LABELS = labelled(6)
OTHERS = digit_images("four", 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    fitted = PromptClassifier(method="coop", shots=1, epochs=1, augment=False, device="cpu").fit(IMAGES, LABELS)
    return fitted.save(tmp_path_factory.mktemp("same") / "run")


@pytest.fixture
def copy(tmp_path):
    """The bundled CLIP in a folder of the test's own."""
    return shutil.copytree(BUNDLED["tiny"], tmp_path / "copy")


def change_weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    changed = {name: change(name, tensor).clone() for name, tensor in tensors.items()}
    save_file(changed, folder / "model.safetensors")


def test_a_copy_of_it_will_do(run, copy):
    ours, theirs = (PromptClassifier.load(run, clip=clip, device="cpu") for clip in (None, copy))
    assert (ours.predict_proba(OTHERS) == theirs.predict_proba(OTHERS)).all()
    assert PromptClassifier.load(run, clip=copy, device="cpu", dtype="bfloat16").predict(OTHERS).shape == (3,)


def test_another_of_the_same_sizes_is_refused(run, copy):
    change_weights(copy, lambda name, tensor: tensor * 1.01 if name == "visual_projection.weight" else tensor)
    with pytest.raises(InputError, match=r"expected the CLIP that it was trained on \(tiny, fingerprint 537050cc3083"):
        PromptClassifier.load(run, clip=copy, device="cpu")


@pytest.mark.parametrize(("then", "now"), [("tf32", False), ("float32", True), ("tf32", True)])
def test_tf32_is_a_way_to_multiply_the_same_weights(run, copy, tmp_path, then, now):
    other = shutil.copytree(run, tmp_path / "other")
    record = json.loads((other / "record.json").read_text())
    (other / "record.json").write_text(json.dumps(record | {"dtype": then}))
    same, changed = (CLIP.load("tiny", device="cpu") for _ in range(2))
    for clip in (same, changed):
        clip.precision = clip.precision._replace(tf32=now)
    changed.text.positions.data += 0.01
    assert PromptClassifier.load(other, same).clip_ is same
    with pytest.raises(InputError, match="expected the CLIP that it was trained on"):
        PromptClassifier.load(other, changed)


def test_a_run_that_does_not_say_is_taken_as_it_is(run, copy, tmp_path):
    """As a record of format 1 may be."""
    change_weights(copy, lambda name, tensor: tensor * 1.01 if name == "visual_projection.weight" else tensor)
    older = shutil.copytree(run, tmp_path / "older")
    record = json.loads((older / "record.json").read_text())
    for name in ("format", "class_tokens", "dtype"):
        del record[name]
    (older / "record.json").write_text(json.dumps(record))
    loaded = PromptClassifier.load(older, clip=copy, device="cpu")
    assert loaded.predict(OTHERS).shape == (3,)
    assert "fingerprint" not in vars(loaded.clip_), "all weights are read for it, which takes a second"


def test_another_tokenizer_with_the_same_ends_is_refused(run, copy):
    described = json.loads((copy / "tokenizer.json").read_text())
    vocabulary = described["model"]["vocab"]
    words = [word for word in vocabulary if not word.startswith("<|")]
    described["model"]["vocab"] |= {word: vocabulary[other] for word, other in zip(words, words[::-1], strict=True)}
    (copy / "tokenizer.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match="expected the tokenizer that it was trained with"):
        PromptClassifier.load(run, tokenizer=copy, device="cpu")


def test_a_clip_with_damaged_weights_says_nothing(copy):
    """As a file with flipped bits gives them."""
    change_weights(copy, lambda name, tensor: tensor * float("nan") if "post_layernorm" in name else tensor)
    zero_shot = PromptClassifier(method="zero-shot", clip=CLIP.load(copy, device="cpu")).fit(IMAGES, LABELS)
    with pytest.raises(RunError, match=r"got NaN or infinity from the CLIP .*copy, computing in float32.*damaged"):
        zero_shot.predict_proba(OTHERS)


def test_the_record_says_what_it_stands_on(run):
    record = json.loads((run / "record.json").read_text())
    tiny = CLIP.load("tiny", device="cpu")
    assert (record["clip_fingerprint"], record["dtype"], record["device"]) == (tiny.fingerprint, "float32", "cpu")
    assert torch.__version__ == record["environment"]["packages"]["torch"]
