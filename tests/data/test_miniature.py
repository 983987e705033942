"""The miniatures are written from the facts about the originals, the readers from the same facts apart from them.

So what the readers make of the miniatures is written down here once more, literally.
"""

import json
import os
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression

from cocoop.data import (
    IMAGENET_VARIANTS,
    PAPER_DATASETS,
    TRAINABLE,
    fingerprint,
    read_paper_dataset,
    sample_few_shot,
    write_miniature,
)
from cocoop.data.papers.miniature import write
from cocoop.data.papers.miniature.layout import split_json
from cocoop.errors import InputError, RunError

IMAGENET = (
    "tench|goldfish|great white shark|stingray|hen|goldfinch|crane bird|German Shepherd Dog|construction crane|"
    "missile|missile|cheeseburger"
)
NAMES = {
    "imagenet": IMAGENET,
    "caltech101": "face|leopard|motorbike|accordion|airplane|crocodile_head",
    "oxford_pets": "abyssinian|american_pit_bull_terrier|bengal|british_shorthair|keeshond|maine_coon",
    "stanford_cars": "2000 AM General Hummer SUV|2012 Acura RL Sedan|2012 Chevrolet Silverado 1500 Hybrid Crew Cab|"
    "1998 Eagle Talon Hatchback|2012 FIAT 500 Abarth|2012 Ram C/V Cargo Van Minivan",
    "oxford_flowers": "pink primrose|hard-leaved pocket orchid|canterbury bells|sweet pea|english marigold|tiger lily",
    "food101": "apple_pie|baby_back_ribs|baklava|bibimbap|macaroni_and_cheese|waffles",
    "fgvc_aircraft": "707-320|BAE 146-200|Boeing 717|DHC-8-100|Eurofighter Typhoon|F/A-18",
    "sun397": "abbey|outdoor apartment_building|shop bakery|indoor church|outdoor church|yard",
    "dtd": "banded|chequered|cobwebbed|grid|polka-dotted|waffled",
    "eurosat": "Annual Crop Land|Forest|Herbaceous Vegetation Land|Highway or Road|Industrial Buildings|Pasture Land|"
    "Permanent Crop Land|Residential Buildings|River|Sea or Lake",
    "ucf101": "Apply_Eye_Makeup|Clean_And_Jerk|Handstand_Pushups|Horse_Race|Tai_Chi|Yo_Yo",
    "imagenetv2": IMAGENET,
    "imagenet_sketch": IMAGENET,
    "imagenet_a": "stingray|goldfinch|German Shepherd Dog|cheeseburger",
    "imagenet_r": "goldfish|great white shark|stingray|hen|goldfinch|German Shepherd Dog|missile|cheeseburger",
}

EXAMPLES = {
    "imagenet": [
        ("train", "train/n01443537/n01443537_1.JPEG", 1),
        ("train", "train/n04008634/n04008634_8.JPEG", 10),
        ("test", "val/n01440764/ILSVRC2012_val_00000001.JPEG", 0),
    ],
    "caltech101": [("any", "Faces/image_0001.jpg", 0), ("any", "accordion/image_0012.jpg", 3)],
    "oxford_pets": [
        ("any", "Maine_Coon_1.jpg", 5),
        ("any", "american_pit_bull_terrier_8.jpg", 1),
        ("test", "keeshond_12.jpg", 4),
    ],
    "stanford_cars": [
        ("any", "cars_train/00001.jpg", 0),
        ("any", "cars_train/00048.jpg", 5),
        ("test", "cars_test/00002.jpg", 1),
    ],
    "oxford_flowers": [("any", "image_00001.jpg", 0), ("any", "image_00009.jpg", 2)],
    "food101": [("any", "macaroni_and_cheese/12005649.jpg", 4)],
    "fgvc_aircraft": [("train", "0034309.jpg", 0), ("val", "0040314.jpg", 5), ("test", "0042310.jpg", 1)],
    "sun397": [
        ("any", "a/apartment_building/outdoor/sun_aaaacaaaaaaaaaaa.jpg", 1),
        ("any", "c/church/indoor/sun_aaaaeaaaaaaaaaaa.jpg", 3),
    ],
    "dtd": [("any", "polka-dotted/polka-dotted_0001.jpg", 4)],
    "eurosat": [("any", "SeaLake/SeaLake_12.jpg", 9)],
    "ucf101": [
        ("any", "Handstand_Pushups/v_HandStandPushups_g08_c01.jpg", 2),
        ("test", "Yo_Yo/v_YoYo_g01_c01.jpg", 5),
    ],
    "imagenetv2": [("test", f"10/{1:040x}.jpeg", 10), ("test", f"2/{0:040x}.jpeg", 2)],
    "imagenet_sketch": [("test", "n01440764/sketch_0.JPEG", 0)],
    "imagenet_a": [("test", "n07697313/0.000000_digital clock _ hair spray_0.86566.jpg", 3)],
    "imagenet_r": [("test", "n03773504/art_3.jpg", 6)],
}
"""Split ("any": it is drawn), path below the folder of images, label."""

WITH_SPLIT_FILE = [name for name, row in PAPER_DATASETS.items() if row.split_file]


@pytest.fixture(scope="module")
def raw_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    for name in PAPER_DATASETS:
        write_miniature(name, root)
    return root


@pytest.fixture(scope="module")
def split_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("split")
    for name in WITH_SPLIT_FILE:
        write_miniature(name, root, split_file=True)
    return root


def splits(dataset):
    return {"train": dataset.train, "val": dataset.val, "test": dataset.test}


def below(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", PAPER_DATASETS)
def test_every_reader_reads_its_miniature(name, raw_root):
    dataset = read_paper_dataset(name, raw_root)
    assert dataset.class_names == NAMES[name].split("|")
    per_class = {part: set(Counter(e.label for e in split).values()) for part, split in splits(dataset).items()}
    if name == "imagenet":
        assert per_class == {"train": {8}, "val": {4}, "test": {4}}
    elif name in IMAGENET_VARIANTS:
        assert per_class == {"train": set(), "val": set(), "test": {4}}
    else:
        assert per_class == {"train": {6}, "val": {2}, "test": {4}}
    assert dataset.split_made == (name in WITH_SPLIT_FILE)
    for split in splits(dataset).values():
        assert all(e.class_name == dataset.class_names[e.label] and e.path.is_file() for e in split)


@pytest.mark.parametrize("name", PAPER_DATASETS)
def test_images_have_the_labels_of_their_originals(name, raw_root):
    dataset = read_paper_dataset(name, raw_root)
    images = raw_root / PAPER_DATASETS[name].folder / PAPER_DATASETS[name].images
    by_part = {part: {e.path: e.label for e in split} for part, split in splits(dataset).items()}
    by_part["any"] = by_part["train"] | by_part["val"] | by_part["test"]
    for part, path, label in EXAMPLES[name]:
        assert by_part[part][images / path] == label


@pytest.mark.parametrize("name", PAPER_DATASETS)
def test_nothing_stray_is_read_and_nothing_is_left_out(name, raw_root):
    """Against the disk: every picture is an image of the data set, but Caltech101's two folders that are no classes."""
    pictures = {path for path in (raw_root / PAPER_DATASETS[name].folder).rglob("*") if path.suffix[:2] in (".j", ".J")}
    strays = {p for p in pictures if p.parent.name in ("BACKGROUND_Google", "Faces_easy")}
    listed = [e.path for split in splits(read_paper_dataset(name, raw_root)).values() for e in split]
    assert set(listed) == {p for p in pictures if p.suffix != ".json"} - strays
    assert len(strays) == (4 if name == "caltech101" else 0)
    assert len(set(listed)) == len(listed) - (48 if name == "imagenet" else 0)  # its val is its test


@pytest.mark.parametrize("name", WITH_SPLIT_FILE)
def test_a_split_file_wins_over_the_annotations(name, raw_root, split_root):
    raw, split = read_paper_dataset(name, raw_root), read_paper_dataset(name, split_root)
    assert split.class_names == raw.class_names and not split.split_made
    sizes = [len(part) for part in splits(split).values()]
    classes = len(split.class_names)
    assert sizes == [6 * classes, 2 * classes, 4 * classes]

    def contents(dataset, root):
        return [[(e.path.relative_to(root).as_posix(), e.label) for e in part] for part in splits(dataset).values()]

    by_file, by_raw = contents(split, split_root), contents(raw, raw_root)
    assert by_file != by_raw
    assert sorted(chain(*by_file)) == sorted(chain(*by_raw))


def test_the_official_test_images_stay_so_in_the_split_file(split_root, raw_root):
    for name in ("oxford_pets", "stanford_cars", "sun397", "ucf101"):
        by_file, by_raw = (
            {e.path.relative_to(root) for e in read_paper_dataset(name, root).test} for root in (split_root, raw_root)
        )
        assert by_file == by_raw


def test_the_variants_show_what_imagenet_shows(raw_root):
    """A class has one colour in all five: the middle of its pictures, averaged, is nearest to ImageNet's."""

    def middles(name):
        pixels_by_folder = {}
        for example in read_paper_dataset(name, raw_root).test:
            with Image.open(example.path) as image:
                pixel = image.convert("RGB").resize((1, 1), box=(18, 14, 22, 18)).getpixel((0, 0))
            pixels_by_folder.setdefault(example.path.parent.name, []).append(pixel)
        return {
            folder: [sum(channel) / len(pixels) for channel in zip(*pixels, strict=True)]
            for folder, pixels in pixels_by_folder.items()
        }

    source = middles("imagenet")
    for name in ("imagenet_sketch", "imagenet_a", "imagenet_r"):
        for folder, colour in middles(name).items():
            nearest = min(source, key=lambda key: sum((a - b) ** 2 for a, b in zip(source[key], colour, strict=True)))
            assert nearest == folder


def test_pictures_are_small_jpeg_files_that_all_differ(raw_root):
    paths = [e.path for name in TRAINABLE for part in splits(read_paper_dataset(name, raw_root)).values() for e in part]
    assert len({fingerprint(path) for path in paths}) == len(set(paths)) == 144 + 6 * 12 * 9 + 120
    for path in paths[::50]:
        with Image.open(path) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (40, 32), "RGB")


@pytest.mark.parametrize("name", ["imagenet", "eurosat", "dtd"])
def test_a_model_can_tell_the_classes_apart(name, raw_root):
    """A linear one on 10 x 8 pixels; by chance it would be right for 1 in 6 to 12."""

    def pixels(examples):
        return [np.ravel(Image.open(e.path).resize((10, 8))) / 255 for e in examples], [e.label for e in examples]

    dataset = read_paper_dataset(name, raw_root)
    model = LogisticRegression(max_iter=500).fit(*pixels(dataset.train))
    assert model.score(*pixels(dataset.test)) > 0.7


@pytest.mark.parametrize("name", PAPER_DATASETS)
def test_the_same_arguments_write_the_same_bytes(name, raw_root, tmp_path):
    assert write_miniature(name, tmp_path) == tmp_path / PAPER_DATASETS[name].folder
    assert below(tmp_path / PAPER_DATASETS[name].folder) == below(raw_root / PAPER_DATASETS[name].folder)


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize(("images", "kind"), [(4, False), (5, True), (21, False)])
def test_other_numbers_of_images(name, images, kind, tmp_path):
    write_miniature(name, tmp_path, images=images, split_file=kind)
    dataset = read_paper_dataset(name, tmp_path)
    counts = Counter(e.label for part in (dataset.train, dataset.test) for e in part)
    if name != "imagenet":
        counts += Counter(e.label for e in dataset.val)
    assert counts == {label: images for label in range(len(dataset.class_names))}
    train, _ = sample_few_shot(dataset.train, dataset.val, shots=2, seed=1)
    assert len(train) == 2 * len(dataset.class_names)


@pytest.mark.parametrize("name", WITH_SPLIT_FILE)
@given(images=st.integers(4, 60))
@settings(max_examples=20, deadline=None)
def test_the_split_file_parts_all_images_for_any_number_of_them(name, images):
    classes = write.MAKERS[name](images).classes
    split = json.loads(split_json(classes))
    entries = [tuple(entry) for part in ("train", "val", "test") for entry in split[part]]
    known = {(path, label, one.name) for label, one in enumerate(classes) for path in one.learn + one.test}
    assert len(entries) == len({path for path, _, _ in entries}) == images * len(classes)
    assert set(entries) == known
    for part in split.values():
        assert {label for _, label, _ in part} == set(range(len(classes)))


@pytest.mark.parametrize("name", PAPER_DATASETS)
def test_nothing_is_overwritten(name, raw_root):
    folder = raw_root / PAPER_DATASETS[name].folder
    before = below(folder)
    with pytest.raises(InputError, match=rf"{folder.name}: expected no such folder"):
        write_miniature(name, raw_root)
    assert below(folder) == before


def test_even_an_empty_folder_or_a_file_is_left_alone(tmp_path):
    (tmp_path / "dtd").mkdir()
    (tmp_path / "eurosat").write_text("mine")
    for name in ("dtd", "eurosat"):
        with pytest.raises(InputError, match="never overwritten"):
            write_miniature(name, tmp_path)
    assert os.listdir(tmp_path / "dtd") == []


def test_a_failure_on_the_way_leaves_nothing(tmp_path, monkeypatch):
    written = []
    real = Path.write_bytes

    def write_bytes(path, content):
        written.append(path)
        if len(written) == 5:
            raise OSError("disk full")
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(RunError, match="disk full"):
        write_miniature("dtd", tmp_path)
    assert len(written) == 5 and os.listdir(tmp_path) == []


def test_a_folder_that_appears_in_the_meantime_is_kept(tmp_path, monkeypatch):
    def rename(source, target):
        Path(target).mkdir()
        (Path(target) / "mine.txt").write_text("mine")
        real(source, target)

    real = os.replace
    monkeypatch.setattr(os, "replace", rename)
    with pytest.raises(RunError, match="dtd: expected to write"):
        write_miniature("dtd", tmp_path)
    assert below(tmp_path) == {"dtd/mine.txt": b"mine"}


def test_wrong_arguments(tmp_path):
    with pytest.raises(InputError, match=r"data set: expected one of imagenet, .*; got 'cifar'"):
        write_miniature("cifar", tmp_path)
    with pytest.raises(InputError, match=r"expected 4 or more per class.*; got 3"):
        write_miniature("dtd", tmp_path, images=3)
    assert os.listdir(tmp_path) == []
