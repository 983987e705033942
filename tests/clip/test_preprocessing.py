"""What models' files state of their test transform: read where it can be done, refused where it cannot."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from cocoop import CLIP, InputError
from cocoop.clip import Preprocess
from cocoop.clip.sources.load import BUNDLED
from cocoop.clip.sources.preprocessing import stated_augment, stated_preprocessing

SIZE = 224


def stated(folder, family="clip", size=SIZE, **files):
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}_config.json").write_text(text)
    return stated_preprocessing(folder, family, size)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, {}),
        ({"image_mean": [0.5, 0, 1], "image_std": [1, 2, 0.1]}, {"mean": (0.5, 0, 1), "std": (1, 2, 0.1)}),
        ({"size": 224, "resample": 3}, {"resize_mode": "shortest", "interpolation": "bicubic"}),
        ({"size": {"shortest_edge": 224}, "resample": 2}, {"resize_mode": "shortest", "interpolation": "bilinear"}),
        ({"size": {"height": 224, "width": 224}, "crop_size": 224}, {"resize_mode": "squash"}),
        ({"crop_size": {"height": 224, "width": 224}, "do_center_crop": True}, {}),
        # As transformers writes it: the crop that is not done keeps its default size.
        (
            {"size": {"height": 224, "width": 224}, "do_center_crop": False, "crop_size": {"height": 9, "width": 9}},
            {"resize_mode": "squash"},
        ),
        ({"do_resize": True, "do_rescale": True, "do_normalize": True, "do_pad": False}, {}),
        ({"rescale_factor": 1 / 255}, {}),
        ({"rescale_factor": 0.003922}, {}),
        (dict.fromkeys(["image_mean", "size", "resample", "crop_size", "do_resize", "do_pad", "rescale_factor"]), {}),
    ],
)
def test_what_a_hugging_face_folder_states(tmp_path, content, expected):
    """And open_clip's file beside it does not count."""
    other = {"preprocess_cfg": {"resize_mode": "squash", "mean": [0, 0, 0], "size": 9}}
    found = stated(tmp_path, preprocessor=content, open_clip=other)
    assert found == expected
    Preprocess(8, **found)


@pytest.mark.parametrize("family", ["open_clip", "clip"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, {}),
        ({"model_cfg": {}, "preprocess_cfg": {}}, {}),
        ({"preprocess_cfg": None}, {}),
        (
            {
                "preprocess_cfg": {
                    "size": 224,
                    "mode": "RGB",
                    "mean": [0, 0, 0],
                    "std": [1, 1, 1],
                    "interpolation": "bicubic",
                    "resize_mode": "squash",
                }
            },
            {"mean": (0, 0, 0), "std": (1, 1, 1), "interpolation": "bicubic", "resize_mode": "squash"},
        ),
        (
            {"preprocess_cfg": {"interpolation": "bilinear", "resize_mode": None, "size": [224, 224], "mode": None}},
            {"interpolation": "bilinear"},
        ),
    ],
)
def test_what_an_open_clip_folder_states(tmp_path, family, content, expected):
    assert stated(tmp_path, family, open_clip=content) == expected


def test_of_an_open_clip_model_only_its_own_file_counts(tmp_path):
    """apple/DFN5B-CLIP-ViT-H-14-378 has both, and they differ."""
    hugging_face = {"image_mean": [0, 0, 0], "size": {"shortest_edge": 224}, "do_resize": False}
    own = {"preprocess_cfg": {"size": 378, "interpolation": "bicubic", "resize_mode": "squash"}}
    found = stated(tmp_path, "open_clip", 378, preprocessor=hugging_face, open_clip=own)
    assert found == {"interpolation": "bicubic", "resize_mode": "squash"}
    (tmp_path / "open_clip_config.json").unlink()
    assert stated_preprocessing(tmp_path, "open_clip", 378) == {}
    (tmp_path / "preprocessor_config.json").write_text("{")
    assert stated_preprocessing(tmp_path, "open_clip", 378) == {}


@pytest.mark.parametrize("family", ["open_clip", "clip"])
def test_a_folder_that_states_nothing(tmp_path, family):
    assert stated_preprocessing(tmp_path, family, SIZE) == {}


def test_the_bundled_clip_states_openais_transform():
    found = stated_preprocessing(BUNDLED["tiny"], "clip", 32)
    assert Preprocess(32, **found) == Preprocess(32)
    assert set(found) == {"mean", "std", "resize_mode", "interpolation"}


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 32, "crop_size": 32},
        {"size": {"height": 32, "width": 32}, "do_center_crop": False, "resample": 2},
        {"size": {"height": 32, "width": 32}, "crop_size": 32, "image_mean": [0, 0.5, 1], "image_std": [1, 0.5, 2]},
    ],
)
def test_what_transformers_writes_is_read_as_transformers_does_it(tmp_path, settings, monkeypatch):
    """On pictures whose margin is even, where its centre crop is OpenAI's."""
    monkeypatch.setitem(sys.modules, "torchvision", None)
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(**settings)
    processor.save_pretrained(tmp_path)
    preprocess = Preprocess(32, **stated_preprocessing(tmp_path, "clip", 32))
    for width, height in ((48, 64), (64, 32), (32, 32), (80, 40)):
        noise = np.random.RandomState(0).randint(0, 256, (height, width, 3), dtype=np.uint8)
        image = Image.fromarray(noise)
        expected = np.asarray(processor(image)["pixel_values"][0])
        assert np.abs(preprocess(image).numpy() - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected settings in JSON"),
        ("{", "expected settings in JSON"),
        ("[" * 100_000, "expected settings in JSON"),
        ('{"size": ' + "9" * 5000 + "}", "expected settings in JSON"),
        ("null", "expected settings by name; got NoneType"),
        ("[1]", "expected settings by name; got list"),
        ({"image_mean": [0.5, 0.5]}, r"image_mean: expected three numbers .* got \[0\.5, 0\.5\]"),
        ({"image_mean": 0.5}, "image_mean: expected three numbers"),
        ({"image_mean": [0.5, 0.5, "0.5"]}, "image_mean: expected three numbers"),
        ({"image_mean": [0.5, 0.5, True]}, "image_mean: expected three numbers"),
        ('{"image_mean": [0.5, 0.5, NaN]}', "expected settings in JSON"),
        ('{"image_mean": [0.5, 0.5, -Infinity]}', "expected settings in JSON"),
        ('{"image_std": [1, 1, 1' + "0" * 400 + "]}", "expected settings in JSON"),
        ({"image_std": [0.5, 0.5, 0]}, "image_std: expected three numbers from 1e-06"),
        ('{"image_std": ' + "[" * 500 + "]" * 500 + "}", "expected settings in JSON"),
        ({"resample": 1}, r"resample: expected one of 2 \(bilinear\), 3 \(bicubic\); got 1\."),
        ({"resample": [3]}, "resample: expected one of"),
        ({"resample": True}, "resample: expected one of"),
    ],
)
def test_damaged_hugging_face_files_are_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=rf"preprocessor_config\.json: {message}"):
        stated(tmp_path, preprocessor=content)


WIDE = r'224 or {"shortest_edge": 224} or {"height": 224, "width": 224}'
SQUARE = {"height": 224, "width": 224}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *(
            ("size", value, WIDE)
            for value in (
                256,
                "224",
                True,
                [224, 224],
                {"shortest_edge": 256},
                {"shortest_edge": "224"},
                {"shortest_edge": 224, "longest_edge": 300},
                {"height": 256, "width": 256},
                {"height": 224, "width": 300},
                {},
            )
        ),
        *(
            ("crop_size", value, r'224 or {"height": 224, "width": 224}')
            for value in (256, 0, False, {"height": 224}, {"height": 200, "width": 224}, {"shortest_edge": 224})
        ),
        ("do_resize", False, "true"),
        ("do_resize", "yes", "true"),
        ("do_rescale", False, "true"),
        ("do_normalize", False, "true"),
        ("do_center_crop", False, "true"),
        ("do_pad", True, "false"),
        *(("rescale_factor", value, "1/255") for value in (1, 1 / 127.5, 0.00393, 0.0039, "1/255", [], 10**18)),
    ],
)
def test_another_transform_is_refused(tmp_path, name, value, expected):
    """The file, the setting, what it must be and what it is."""
    with pytest.raises(InputError) as caught:
        stated(tmp_path, preprocessor={name: value})
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'preprocessor_config.json'}: {name}: expected {expected} ") or (
        message.startswith(f"{tmp_path / 'preprocessor_config.json'}: {name}: expected {expected}; ")
    )
    assert f"got {json.dumps(value)[:70]}" in message


def test_a_shorter_side_above_the_crop_is_another_transform(tmp_path):
    content = {"size": {"shortest_edge": 256}, "crop_size": SQUARE}
    with pytest.raises(InputError, match=r'size: expected 224.*got {"shortest_edge": 256}.*another transform'):
        stated(tmp_path, preprocessor=content)


@pytest.mark.parametrize("size", [224, {"shortest_edge": 224}])
def test_no_crop_goes_with_squashing_alone(tmp_path, size):
    with pytest.raises(InputError, match="do_center_crop: expected true; got false"):
        stated(tmp_path, preprocessor={"size": size, "do_center_crop": False})
    assert stated(tmp_path, preprocessor={"size": SQUARE, "do_center_crop": False}) == {"resize_mode": "squash"}
    with pytest.raises(InputError, match='do_center_crop: expected true or false; got "no"'):
        stated(tmp_path, preprocessor={"size": SQUARE, "do_center_crop": "no"})


@pytest.mark.parametrize("family", ["open_clip", "clip"])
@pytest.mark.parametrize(
    ("stated_settings", "message"),
    [
        ([1], "preprocess_cfg: expected settings by name"),
        ({"resize_mode": "longest"}, "resize_mode: expected one of shortest, squash; got 'longest'"),
        ({"interpolation": ["bicubic"]}, "interpolation: expected one of bicubic, bilinear"),
        ({"interpolation": "random"}, "interpolation: expected one of bicubic, bilinear"),
        ({"mean": [0, 0]}, "mean: expected three numbers"),
        ({"std": [0, 1, 1]}, "std: expected three numbers"),
        ({"mode": "L"}, 'mode: expected "RGB"; got "L"'),
        ({"mode": ["RGB"]}, 'mode: expected "RGB"; got'),
    ],
)
def test_unusual_open_clip_files_are_refused(tmp_path, family, stated_settings, message):
    with pytest.raises(InputError, match=rf"open_clip_config\.json: {message}"):
        stated(tmp_path, family, open_clip={"preprocess_cfg": stated_settings})


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "preprocessor_config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="expected settings in JSON"):
        stated_preprocessing(tmp_path, "clip", SIZE)


def test_what_transformers_5_writes_beside_a_processor_goes_first(tmp_path):
    """It writes no preprocessor_config.json, and reads this file before one that is left of older times."""
    nested = {
        "image_processor": {"image_mean": [0.5, 0.5, 0.5], "size": {"shortest_edge": 224}},
        "processor_class": "X",
    }
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    expected = {"mean": (0.5, 0.5, 0.5), "resize_mode": "shortest"}
    assert stated(tmp_path, preprocessor={"image_mean": [0, 0, 0]}) == expected
    (tmp_path / "processor_config.json").write_text('{"processor_class": "X"}')
    assert stated(tmp_path, preprocessor={"image_mean": [0, 0, 0]}) == {"mean": (0.0, 0.0, 0.0)}


@pytest.mark.parametrize(
    ("content", "expected"),
    [({}, True), ({"augment": True}, True), ({"augment": False}, False), ({"augment": None}, True)],
)
def test_whether_images_are_augmented(tmp_path, content, expected):
    assert stated_augment(tmp_path) is True  # without the file
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(content))
    assert stated_augment(tmp_path) is expected


@pytest.mark.parametrize("value", [0, 1, "false", [], {}])
def test_augment_is_true_or_false(tmp_path, value):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"augment": value}))
    with pytest.raises(InputError, match=r"preprocessor_config.json: augment: expected true or false; got"):
        stated_augment(tmp_path)


def test_the_bundled_clips_images_are_learned_as_they_are(tiny, apart):
    assert tiny.augment is False
    config = apart / "model" / "preprocessor_config.json"
    stated = json.loads(config.read_text())
    for said in (True, False, None):
        config.write_text(json.dumps(stated | {"augment": said}))
        assert CLIP.load(apart / "model", apart / "words", device="cpu").augment is (said is not False)
    config.write_text(json.dumps(stated | {"augment": "no"}))
    with pytest.raises(InputError, match="augment: expected true or false"):
        CLIP.load(apart / "model", apart / "words", device="cpu")
