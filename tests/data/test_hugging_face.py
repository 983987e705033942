"""Against the real `datasets` package, offline: folders it saved, and a folder in place of the hub."""

import io
import sys

import pytest
from PIL import Image

from cocoop.data import Example, open_image, read_dataset
from cocoop.errors import InputError

datasets = pytest.importorskip("datasets", reason="the extra hf-datasets is not installed")

NAMES = ["zebra", "red fox", "ant"]
"""Not the order of the alphabet."""


def picture(number: int) -> Image.Image:
    return Image.new("RGB", (6, 4), (40 * number, 200, 7))


def jpeg(number: int) -> bytes:
    file = io.BytesIO()
    picture(number).save(file, format="JPEG", quality=60)
    return file.getvalue()


def rows(numbers, labels, label=None, image="image"):
    label = datasets.ClassLabel(names=NAMES) if label is None else label
    content = {image: [{"bytes": jpeg(n), "path": None} for n in numbers], "label": labels}
    return datasets.Dataset.from_dict(content, datasets.Features({image: datasets.Image(), "label": label}))


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub-cache")
    monkeypatch.setenv("COCOOP_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


def test_splits_labels_and_bytes(tmp_path):
    folder = tmp_path / "saved"
    parts = {"train": rows([1, 2, 3], [2, 0, 1]), "validation": rows([4], [1]), "test": rows([5, 6], [0, 0])}
    datasets.DatasetDict(parts).save_to_disk(folder)
    dataset = read_dataset(folder)
    assert dataset.class_names == NAMES  # the order of the ClassLabel
    assert dataset.name == str(folder) and dataset.template == "a photo of a {}."
    for split, numbers, labels in (
        (dataset.train, [1, 2, 3], [2, 0, 1]),
        (dataset.val, [4], [1]),
        (dataset.test, [5, 6], [0, 0]),
    ):
        assert [(e.label, e.class_name) for e in split] == [(label, NAMES[label]) for label in labels]
        assert [e.path.read_bytes() for e in split] == [jpeg(number) for number in numbers]
        assert {e.path.suffix for e in split} == {".jpeg"}
    files = sorted((tmp_path / "cache").rglob("*.*"))
    assert len(files) == 6 and all(dataset.image_root in file.parents for file in files)
    times = [file.stat().st_mtime_ns for file in files]
    assert read_dataset(str(folder)) == dataset
    assert [file.stat().st_mtime_ns for file in sorted((tmp_path / "cache").rglob("*.*"))] == times


def test_files_go_below_the_given_root(tmp_path):
    rows([1, 2], [0, 1]).save_to_disk(tmp_path / "saved")
    dataset = read_dataset(tmp_path / "saved", tmp_path / "root")
    assert all(tmp_path / "root" in example.path.parents for example in dataset.train)
    assert not (tmp_path / "cache").exists()


def test_one_dataset_without_splits_is_all_training(tmp_path):
    rows([1, 2, 3], ["b", "a", "b"], datasets.Value("string"), image="img").save_to_disk(tmp_path / "saved")
    dataset = read_dataset(tmp_path / "saved")
    assert dataset.class_names == ["a", "b"] and [e.label for e in dataset.train] == [1, 0, 1]
    assert dataset.val == dataset.test == []


def test_images_that_are_files_stay_where_they_are(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for number, path in enumerate(paths):
        picture(number).save(path)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    content = {"image": [str(path) for path in paths], "label": [1, 0]}
    # With a path only, no bytes, as `load_dataset` leaves image folders.
    part = datasets.Dataset.from_dict(content, features)
    from cocoop.data.hugging_face import _read

    dataset = _read("memory", part, tmp_path / "never")
    assert dataset.train == [Example(paths[0], 1, "red fox"), Example(paths[1], 0, "zebra")]
    assert not (tmp_path / "never").exists()


def test_images_without_a_label_are_left_out(tmp_path):
    parts = {"train": rows([1, 2, 3], [0, -1, 1]), "validation": rows([4], [1]), "test": rows([5], [-1])}
    parts["unsupervised"] = rows([6], [-1])
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    dataset = read_dataset(tmp_path / "saved")
    assert [e.path.read_bytes() for e in dataset.train] == [jpeg(1), jpeg(3)]
    # A test whose labels are kept secret is none: val takes its place.
    assert [e.path.read_bytes() for e in dataset.test] == [jpeg(4)] and dataset.val == []
    assert dataset.notes == (
        "left out splits with other names (1): unsupervised",
        "left out images without a label (2)",
    )


@pytest.mark.parametrize(("name", "part"), [("all", "train"), ("test", "test"), ("TRAIN", "train")])
def test_a_single_split(tmp_path, name, part):
    datasets.DatasetDict({name: rows([1, 2], [0, 1])}).save_to_disk(tmp_path / "saved")
    assert len(getattr(read_dataset(tmp_path / "saved"), part)) == 2


def test_load_dataset_itself(tmp_path):
    """A folder of parquet files stands in for the hub; it is found by the same call."""
    (tmp_path / "hub" / "data").mkdir(parents=True)
    rows([1, 2, 3], [2, 0, 1]).to_parquet(tmp_path / "hub" / "data" / "train-00000.parquet")
    rows([4], [0]).to_parquet(tmp_path / "hub" / "data" / "test-00000.parquet")
    dataset = read_dataset(f"hf:{tmp_path / 'hub'}")
    assert dataset.class_names == NAMES and [e.label for e in dataset.train] == [2, 0, 1]
    assert dataset.test[0].path.read_bytes() == jpeg(4)
    assert open_image(dataset.test[0].path).size == (6, 4)


def test_an_image_folder_by_load_dataset(tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / "hub" / "train" / name).mkdir(parents=True)
        picture(3).save(tmp_path / "hub" / "train" / name / "1.png")
    dataset = read_dataset(f"hf:{tmp_path / 'hub'}")
    assert [(e.path, e.class_name) for e in dataset.train] == [
        (tmp_path / "hub" / "train" / name / "1.png", name) for name in ("ant", "bee")
    ]


def test_name_and_config_reach_load_dataset(monkeypatch):
    calls = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *arguments: calls.append(arguments) or rows([1, 2], [0, 1]))
    read_dataset("hf:owner/name")
    read_dataset("hf:owner/name:small")
    assert calls == [("owner/name", None), ("owner/name", "small")]


@pytest.mark.parametrize("source", ["hf:", "hf::x", "hf:a:b:c"])
def test_no_name(source):
    with pytest.raises(InputError, match="expected hf:OWNER/NAME or"):
        read_dataset(source)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": datasets.Image(), "label": datasets.Value("int64")}, r"got image \(Image\), label \(Value\)"),
        ({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=NAMES)}, "one image column"),
        (
            {n: datasets.Image() for n in ("left", "right")} | {"label": datasets.ClassLabel(names=NAMES)},
            r"left \(Image\), right \(Image\)",
        ),
        (
            {"img": datasets.Image()} | {n: datasets.ClassLabel(names=NAMES) for n in ("fine", "coarse")},
            r"fine \(ClassLabel\), coarse \(ClassLabel\).*select_columns.*save_to_disk",
        ),
    ],
)
def test_columns_that_cannot_be_told_apart(tmp_path, columns, message):
    values = {"Image": {"bytes": jpeg(1), "path": None}, "ClassLabel": 0, "Value": None}
    content = {name: [values[type(feature).__name__]] for name, feature in columns.items()}
    datasets.Dataset.from_dict(content, datasets.Features(columns)).save_to_disk(tmp_path / "saved")
    with pytest.raises(InputError, match=message) as caught:
        read_dataset(tmp_path / "saved")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (datasets.ClassLabel(names=["ant", "bee"]), "expected splits with the same columns and classes; got .*'bee'"),
        (None, "expected splits with the same columns and classes; got .*label"),
    ],
)
def test_splits_that_differ(tmp_path, test, message):
    other = rows([3], [1], test) if test else rows([3], [1]).rename_column("label", "kind")
    datasets.DatasetDict({"train": rows([1, 2], [0, 1]), "test": other}).save_to_disk(tmp_path / "saved")
    with pytest.raises(InputError, match=message):
        read_dataset(tmp_path / "saved")


def test_splits_that_number_the_same_classes_otherwise(tmp_path):
    other = rows([3, 4], [0, 1], datasets.ClassLabel(names=NAMES[::-1]))
    datasets.DatasetDict({"train": rows([1, 2], [0, 1]), "test": other}).save_to_disk(tmp_path / "saved")
    dataset = read_dataset(tmp_path / "saved").test
    assert [(example.label, example.class_name) for example in dataset] == [(2, "ant"), (1, "red fox")]


def test_a_text_column_beside_a_class_label_is_no_rival(tmp_path):
    part = rows([1, 2], [0, 1]).add_column("file", ["a", "b"])
    part.save_to_disk(tmp_path / "saved")
    assert read_dataset(tmp_path / "saved").class_names == NAMES


def test_files_that_do_not_hold_what_they_say(tmp_path):
    """Found by the fuzzer: another column, and names of classes that are no text."""
    rows([1, 2], [0, 1]).save_to_disk(tmp_path / "saved")
    info = tmp_path / "saved" / "dataset_info.json"
    whole = info.read_text()
    info.write_text(whole.replace(f'"{NAMES[0]}"', "0.5"))
    with pytest.raises(InputError, match=r"expected names of classes that are text; got 0\.5 in train"):
        read_dataset(tmp_path / "saved")
    numbers = {"label": [7, 8], "image": rows([1, 2], [0, 1])["image"]}
    kinds = datasets.Features(image=datasets.Image(), label=datasets.Value("int64"))
    other = datasets.Dataset.from_dict(numbers, kinds)
    part = rows([1, 2], [0, 1]).cast_column("label", datasets.Value("string"))
    datasets.DatasetDict({"train": part, "test": other}).save_to_disk(tmp_path / "splits")
    with pytest.raises(InputError, match="test, row 0: expected a class that is text; got 7"):
        read_dataset(tmp_path / "splits")


def test_what_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"expected a data set of the Hugging Face hub; got \w+Error: ") as caught:
        read_dataset(f"hf:{tmp_path / 'nothing'}")
    assert "\n" not in str(caught.value)
    datasets.DatasetDict({"a": rows([1], [0]), "b": rows([1], [0])}).save_to_disk(tmp_path / "splits")
    with pytest.raises(InputError, match="expected splits train, val or test; got a, b"):
        read_dataset(tmp_path / "splits")
    broken = rows([1, 2], [0, 1])
    content = {"image": [{"bytes": b"no image", "path": None}], "label": [0]}
    datasets.Dataset.from_dict(content, broken.features).save_to_disk(tmp_path / "broken")
    with pytest.raises(InputError, match=r"broken, train, row 0: expected an image that Pillow can decode"):
        read_dataset(tmp_path / "broken")
    content = {"image": [None], "label": [0]}
    datasets.Dataset.from_dict(content, broken.features).save_to_disk(tmp_path / "none")
    with pytest.raises(InputError, match="row 0: expected an image; got none"):
        read_dataset(tmp_path / "none")
    (tmp_path / "broken" / "state.json").write_text("{}")
    with pytest.raises(InputError, match="as save_to_disk wrote it; got "):
        read_dataset(tmp_path / "broken")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r'Install it: pip install "cocoop\[hf-datasets\]"'):
        read_dataset("hf:owner/name")
