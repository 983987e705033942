"""`check_dataset` on whole and damaged data sets; what is wrong was put there by the test."""

import json
import shutil
from pathlib import Path

import pytest

from cocoop.data import PAPER_DATASETS, Finding, Sizes, check_dataset, write_miniature
from cocoop.data.papers.guide import GUIDES
from cocoop.errors import InputError

REFERENCE = Path(__file__).parents[1] / "reference"
RAW_ONLY = [(name, part.path) for name, guide in GUIDES.items() for part in guide.parts if part.raw]


@pytest.fixture
def as_in_the_table(monkeypatch):
    """Make the table expect what a miniature of a folder-per-class data set has: 6 classes, 36 / 12 / 24 images."""

    def expect(name, classes=6, sizes=(36, 12, 24)):
        row = PAPER_DATASETS[name]._replace(classes=classes, sizes=Sizes(*sizes))
        monkeypatch.setitem(PAPER_DATASETS, name, row)

    return expect


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("miniatures")
    for name in PAPER_DATASETS:
        write_miniature(name, root, split_file=True)
    return root


@pytest.mark.parametrize("name", PAPER_DATASETS)
def test_a_miniature_has_everything_but_the_numbers(name, miniatures):
    """Every part of the guide is found where the miniature, written from the facts, has put it."""
    findings = check_dataset(name, miniatures)
    assert findings and all(finding.what.startswith("number of ") for finding in findings)


def test_the_numbers_of_a_miniature(miniatures):
    folder = miniatures / "oxford_pets"
    assert check_dataset("oxford_pets", miniatures) == [
        Finding("number of classes", folder, "37", "6"),
        Finding("number of train images", folder, "2,944", "36"),
        Finding("number of val images", folder, "736", "12"),
        Finding("number of test images", folder, "3,669", "24"),
    ]


def test_the_published_split_with_all_its_images_is_whole(tmp_path):
    """With a real split file; the images are empty files, because they are not opened."""
    folder = tmp_path / "dtd"
    split_file = REFERENCE / "split_zhou_DescribableTextures.json"
    split = json.loads(split_file.read_text())
    paths = [path for part in split.values() for path, _, _ in part]
    for parent in {Path(path).parent for path in paths}:
        (folder / "images" / parent).mkdir(parents=True)
    for path in paths:
        (folder / "images" / path).touch()
    shutil.copy(split_file, folder)
    assert check_dataset("dtd", tmp_path) == []

    lost = [path for path, _, _ in split["test"][5:9]]
    for path in lost:
        (folder / "images" / path).unlink()
    missing = "4 missing: " + ", ".join(f"images/{path}" for path in lost[:3]) + ", ..."
    assert check_dataset("dtd", tmp_path) == [
        Finding("test images", folder, "all 1,692 that the test split lists", missing)
    ]


def test_no_folder(tmp_path):
    expected = [Finding("folder", tmp_path / "sun397", "the folder of SUN397", "no such folder")]
    assert check_dataset("sun397", tmp_path) == expected
    (tmp_path / "sun397").write_text("a file")
    assert check_dataset("sun397", tmp_path) == expected
    missing = tmp_path / "nowhere"
    assert [finding.where for finding in check_dataset("sun397", missing)] == [missing / "sun397"]


def test_a_split_file_that_can_be_done_without_is_a_note(tmp_path, as_in_the_table):
    as_in_the_table("oxford_pets")
    folder = write_miniature("oxford_pets", tmp_path)
    (note,) = check_dataset("oxford_pets", tmp_path)
    assert note.note and (note.what, note.where) == ("split file", folder / "split_zhou_OxfordPets.json")


@pytest.mark.parametrize(("name", "path"), RAW_ONLY)
def test_annotations_count_only_without_a_split_file(name, path, tmp_path, miniatures, as_in_the_table):
    as_in_the_table(name)
    row = PAPER_DATASETS[name]
    folder = tmp_path / row.folder
    shutil.copytree(miniatures / row.folder, folder)
    (folder / path).unlink()
    assert check_dataset(name, tmp_path) == []

    (folder / row.split_file).unlink()
    split, lost = check_dataset(name, tmp_path)
    assert not split.note and (split.what, split.got) == ("split file", "none")
    assert (lost.what, lost.where, lost.got) == ("file", folder / path, "no such file")


@pytest.mark.parametrize("name", PAPER_DATASETS)
def test_each_folder_of_images_is_missed(name, tmp_path, miniatures):
    row = PAPER_DATASETS[name]
    folder = tmp_path / row.folder
    shutil.copytree(miniatures / row.folder, folder)
    for part in GUIDES[name].parts:
        if part.path.endswith("/"):
            shutil.move(folder / part.path, tmp_path / "away")
            assert check_dataset(name, tmp_path) == [
                Finding("folder", folder / part.path, part.holds, "no such folder")
            ]
            shutil.move(tmp_path / "away", folder / part.path)


def test_fewer_images_of_a_folder_per_class_are_miscounted(tmp_path, as_in_the_table):
    as_in_the_table("imagenet", 12, (96, 48, 48))
    folder = write_miniature("imagenet", tmp_path)
    assert check_dataset("imagenet", tmp_path) == []
    (folder / "images/train/n01440764/n01440764_3.JPEG").unlink()
    assert check_dataset("imagenet", tmp_path) == [Finding("number of train images", folder, "96", "95")]


def test_images_that_only_a_list_has(tmp_path, as_in_the_table):
    as_in_the_table("fgvc_aircraft")
    folder = write_miniature("fgvc_aircraft", tmp_path)
    assert check_dataset("fgvc_aircraft", tmp_path) == []
    (folder / "images/0034309.jpg").unlink()
    (folder / "images/0042310.jpg").rename(folder / "images/0042310.JPG")
    (folder / "images/0040314.jpg").unlink()
    (folder / "images/0040314.jpg").symlink_to("nowhere.jpg")
    assert [(finding.what, finding.got) for finding in check_dataset("fgvc_aircraft", tmp_path)] == [
        ("train images", "1 missing: images/0034309.jpg"),
        ("val images", "1 missing: images/0040314.jpg"),
        ("test images", "1 missing: images/0042310.jpg"),
    ]


@pytest.mark.parametrize(
    ("name", "path", "content", "reason"),
    [
        ("oxford_pets", "split_zhou_OxfordPets.json", "{", "expected a split file"),
        ("stanford_cars", "devkit/cars_meta.mat", "not MATLAB", "cars_meta.mat"),
        ("sun397", "Training_01.txt", "a/abbey\n", "Training_01.txt, line 1"),
        ("imagenet_a", "classnames.txt", "n01440764 tench\n", "imagenet-a"),
        ("ucf101", "ucfTrainTestlist/classInd.txt", "\xff\n", "classInd.txt"),
    ],
)
def test_what_cannot_be_read_is_a_finding_without_a_hint_to_this_check(name, path, content, reason, tmp_path):
    folder = write_miniature(name, tmp_path)
    (folder / path).write_text(content, encoding="latin-1")
    *_, finding = check_dataset(name, tmp_path)
    assert (finding.what, finding.where) == ("contents", folder)
    assert reason in finding.got and "cocoop datasets" not in finding.got


def test_an_unknown_name():
    with pytest.raises(InputError, match=r"data set: expected one of imagenet, .*; got 'pets'"):
        check_dataset("pets", ".")
