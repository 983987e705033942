"""Loading a CLIP from each kind of source, and what is refused."""

import json
import math
import shutil
from decimal import Decimal, localcontext

import golden_clip
import pytest
import torch
from golden_clip import FACTS
from hugging_face_reference import hugging_face_model
from hypothesis import given
from hypothesis.strategies import floats
from transformers import CLIPModel

from cocoop import CLIP, InputError
from cocoop.clip.sources.families.base import inverse_temperature


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The golden CLIP as a Hugging Face folder, without a tokenizer."""
    place = tmp_path_factory.mktemp("model")
    hugging_face_model(golden_clip.state_dict()).save_pretrained(place)
    return place


def test_a_folder_and_a_state_dict_give_the_same_model(golden, folder):
    loaded = CLIP.load(folder, tokenizer=golden_clip.StandInTokenizer(), device="cpu")
    pixels = golden_clip.pixels()
    assert torch.equal(loaded.encode_images(pixels), golden.encode_images(pixels))
    texts = [f"a photo of a {name}." for name in ("tench", "otter", "Chihuahua")]
    assert torch.equal(loaded.encode_texts(texts), golden.encode_texts(texts))
    assert loaded.logit_scale == pytest.approx(100, rel=1e-6)
    assert loaded.embed_dim == 32


def test_encoders_equal_transformers_own(golden, folder):
    theirs = CLIPModel.from_pretrained(folder).eval()
    names = ["tench", "otter", "black-footed ferret"]
    ids = torch.zeros(len(names), 77, dtype=torch.int64)
    for row, name in zip(ids, names, strict=True):
        prompt = [49406, *FACTS["tokens"][f"a photo of a {name}."], 49407]
        row[: len(prompt)] = torch.tensor(prompt)
    with torch.no_grad():
        out = theirs(input_ids=ids, pixel_values=golden_clip.pixels())
    ours = golden.encode_texts([f"a photo of a {name}." for name in names])
    torch.testing.assert_close(ours, out.text_embeds, rtol=0, atol=2e-6)
    torch.testing.assert_close(golden.encode_images(golden_clip.pixels()), out.image_embeds, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-6), ("float16", 5e-3), ("bfloat16", 4e-2)])
def test_other_dtypes(golden, dtype, tolerance):
    clip = golden_clip.load(dtype=dtype)
    assert {p.dtype for p in clip.text.parameters()} == {getattr(torch, dtype)}
    features = clip.encode_images(golden_clip.pixels())
    assert features.dtype == (torch.float64 if dtype == "float64" else torch.float32)
    assert (features - golden.encode_images(golden_clip.pixels())).abs().max() < tolerance


def test_everything_is_frozen(golden):
    parameters = [*golden.text.parameters(), *golden.image_tower.parameters()]
    assert parameters
    assert not any(parameter.requires_grad for parameter in parameters)
    assert not any(module.training for tower in (golden.text, golden.image_tower) for module in tower.modules())


def test_the_bundled_model(tiny):
    """Loads, encodes any text, and its transform and towers fit together."""
    texts = ["a photo of a seven.", "caf\u00e9 \u4e2d\u6587 \U0001f600 \u0000\x7f", "&amp;", "x" * 40]
    assert tiny.encode_texts(texts).shape == (4, tiny.embed_dim)
    picture = torch.zeros(2, 3, tiny.preprocess.size, tiny.preprocess.size)
    assert tiny.encode_images(picture).norm(dim=1) == pytest.approx(1, abs=1e-5)
    assert tiny.token_ids("Seven.") == [*tiny.token_ids("seven"), *tiny.token_ids(".")]


def test_the_models_own_normalisation_is_used(folder, tmp_path):
    place = shutil.copytree(folder, tmp_path / "model")
    (place / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}))
    clip = CLIP.load(place, tokenizer=golden_clip.StandInTokenizer(), device="cpu")
    assert (clip.preprocess.mean, clip.preprocess.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_with_a_missing_file(folder, tmp_path, missing):
    place = shutil.copytree(folder, tmp_path / "model")
    (place / missing).unlink(missing_ok=True)
    if missing != "tokenizer.json":
        (place / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=f"expected .*{missing}"):
        CLIP.load(place)


def test_damaged_files(folder, tmp_path):
    stand_in = golden_clip.StandInTokenizer()
    place = shutil.copytree(folder, tmp_path / "weights")
    (place / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors: expected weights.*got a text file"):
        CLIP.load(place, tokenizer=stand_in)
    place = shutil.copytree(folder, tmp_path / "config")
    (place / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json"):
        CLIP.load(place, tokenizer=stand_in)
    place = shutil.copytree(folder, tmp_path / "tokenizer")
    (place / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="expected a tokenizer"):
        CLIP.load(place)


def test_a_missing_tensor_is_never_made_up(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    place = shutil.copytree(folder, tmp_path / "model")
    tensors = load_file(place / "model.safetensors")
    del tensors["text_projection.weight"]
    save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"text_projection\.weight"):
        CLIP.load(place, tokenizer=golden_clip.StandInTokenizer())


def test_other_families_are_refused(folder, tmp_path):
    place = shutil.copytree(folder, tmp_path / "model")
    config = json.loads((place / "config.json").read_text()) | {"model_type": "siglip"}
    (place / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"causal.*siglip.*bidirectional"):
        CLIP.load(place, tokenizer=golden_clip.StandInTokenizer())


@pytest.mark.parametrize("source", ["no-such-folder", "./models/none", __file__])
def test_no_such_source(source):
    with pytest.raises(InputError, match="expected"):
        CLIP.load(source)


def test_state_dicts_that_cannot_work():
    stand_in = golden_clip.StandInTokenizer()
    state = dict(golden_clip.state_dict())
    with pytest.raises(InputError, match="tokenizer: expected a folder or a tokenizer object"):
        CLIP.load(state)
    with pytest.raises(InputError, match="missing, such as ln_final"):
        CLIP.load({name: value for name, value in state.items() if "ln_final" not in name}, tokenizer=stand_in)
    with pytest.raises(InputError, match=r"1 are missing, such as transformer\.resblocks\.1\.attn\.out_proj"):
        name = "transformer.resblocks.1.attn.out_proj.weight"
        CLIP.load({other: value for other, value in state.items() if other != name}, tokenizer=stand_in)
    with pytest.raises(InputError, match=r"1 more, such as 'visual\.head\.weight'"):
        CLIP.load(state | {"visual.head.weight": torch.zeros(1)}, tokenizer=stand_in)
    with pytest.raises(InputError, match="ResNet"):
        CLIP.load(state | {"visual.layer1.0.conv1.weight": torch.zeros(1)}, tokenizer=stand_in)


def test_metadata_of_openai_archives_is_skipped(golden):
    extra = {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")}
    clip = CLIP.load(golden_clip.state_dict() | extra, tokenizer=golden_clip.StandInTokenizer(), device="cpu")
    assert torch.equal(clip.encode_images(golden_clip.pixels()), golden.encode_images(golden_clip.pixels()))


def test_a_tokenizer_of_another_model_is_refused():
    class Foreign(golden_clip.StandInTokenizer):
        eos_token_id = 60_000

    with pytest.raises(InputError, match=r"eos_token_id.*60000"):
        golden_clip.load(tokenizer=Foreign())


def test_devices_and_dtypes_that_do_not_exist():
    for bad in ({"device": "gpu"}, {"device": "cuda:99"}, {"dtype": "float8"}):
        with pytest.raises(InputError, match="expected"):
            CLIP.load(golden_clip.state_dict(), tokenizer=golden_clip.StandInTokenizer(), **bad)


def test_texts_and_pixels_that_cannot_work(golden):
    for bad in ([], "a cat"):
        with pytest.raises(InputError, match="list of at least one text"):
            golden.encode_texts(bad)
    with pytest.raises(InputError, match=r"pixels: expected shape \[B, channels=3, height=32, width=32\]"):
        golden.encode_images(torch.zeros(1, 3, 224, 224))


@given(floats(-10, 10, width=32))
def test_the_temperature_has_the_same_bits_on_every_processor(logit_scale):
    """A run knows its CLIP by a fingerprint over these bits. It is the float64 that is nearest to e to the power."""
    ours = inverse_temperature("model", torch.tensor(logit_scale))
    with localcontext(prec=60):
        exact = Decimal(logit_scale).exp()
        neighbours = [Decimal(math.nextafter(ours, towards)) for towards in (0, math.inf)]
        assert all(abs(Decimal(ours) - exact) <= abs(neighbour - exact) for neighbour in neighbours)
