"""`cocoop datasets`, as it is typed."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from cocoop.data import OFFLINE, OFFLINE_VARIANTS, PAPER_DATASETS, Sizes, read_paper_dataset


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_list_has_every_name(cocoop):
    ran = cocoop("datasets", "list")
    header, _, *rows = ran.out.splitlines()
    assert cells(header) == ["name", "title", "classes", "train", "val", "test", "template"]
    assert [cells(row)[0] for row in rows] == [*PAPER_DATASETS, *OFFLINE, *OFFLINE_VARIANTS]
    by_name = {cells(row)[0]: cells(row)[1:] for row in rows}
    assert by_name["sun397"] == ["SUN397", "397", "15,880", "3,970", "19,850", "a photo of a {}."]
    assert by_name["imagenet_a"] == ["ImageNet-A", "200", "-", "-", "7,500", "a photo of a {}."]
    assert by_name["digits"] == ["Digits", "10", "359", "179", "1,259", "a photo of a {}."]
    assert ran.code == 0 and "no download needed: digits, pictographs, shapes" in ran.err


def test_list_and_show_for_machines(cocoop):
    listed = {row["name"]: row for row in json.loads(cocoop("datasets", "list", "--json").out)}
    for name in ("stanford_cars", "imagenetv2", "shapes_blur"):
        assert json.loads(cocoop("datasets", "show", name, "--json").out) == listed[name]
    assert listed["stanford_cars"]["homepage"].startswith("https://")
    assert [listed["oxford_pets"][key] for key in ("classes", "base_classes", "new_classes")] == [37, 19, 18]
    assert [listed["imagenetv2"][key] for key in ("train", "val", "test")] == [None, None, 10_000]


def test_show_a_data_set_of_the_papers(cocoop):
    out = cocoop("datasets", "show", "oxford_pets").out
    assert out.startswith("OxfordPets (oxford_pets): 37 breeds of cats and dogs.\n")
    assert "Where to get it: https://www.robots.ox.ac.uk/~vgg/data/pets/\n" in out
    assert (
        "oxford_pets/\n"
        "  images/                     all images: Abyssinian_100.jpg\n"
        "  annotations/\n"
        "    trainval.txt              lines like: Abyssinian_100 1 1 1 *\n"
        "    test.txt                  the same for the test images *\n"
        "  split_zhou_OxfordPets.json  the papers' split; without it, those marked * are needed\n"
    ) in out
    assert "Class names: The image's file name without its number, in lower case.\n" in out
    assert "Prompt: a photo of a {}, a type of pet.\n" in out
    assert ["base classes", "19"] in [cells(line) for line in out.splitlines()]


@pytest.mark.parametrize("name", [*PAPER_DATASETS, *OFFLINE, *OFFLINE_VARIANTS])
def test_show_every_name(cocoop, name):
    ran = cocoop("datasets", "show", name)
    assert ran.code == 0 and f"({name}): " in ran.out
    assert ("Where to get it: http" in ran.out) == (name in PAPER_DATASETS)
    assert ("Nothing to get" in ran.out) == (name not in PAPER_DATASETS)


def test_show_draws_nothing(cocoop, tmp_path):
    cocoop("datasets", "show", "shapes")
    assert list(tmp_path.iterdir()) == []


def test_sample_then_read_then_check(cocoop, tmp_path):
    ran = cocoop("datasets", "sample", "dtd", "--data-root", "data", "--images", 8, "--split-file")
    assert (ran.code, ran.out) == (0, "data/dtd\n")
    assert "try: cocoop benchmark base-to-new --datasets dtd --data-root data" in ran.err
    dataset = read_paper_dataset("dtd", tmp_path / "data")
    assert (len(dataset.class_names), len(dataset.test), dataset.split_made) == (6, 12, False)

    ran = cocoop("datasets", "check", "dtd", "--data-root", "data")
    rows = [cells(line) for line in ran.out.splitlines()]
    assert ran.code == 1
    assert rows[2:] == [
        ["dtd", "number of classes", "dtd", "47", "6", "wrong"],
        ["dtd", "number of train images", "dtd", "2,820", "24", "wrong"],
        ["dtd", "number of val images", "dtd", "1,128", "12", "wrong"],
        ["dtd", "number of test images", "dtd", "1,692", "12", "wrong"],
    ]
    assert "cocoop datasets show NAME" in ran.err


def test_check_a_whole_data_set(cocoop, monkeypatch):
    cocoop("datasets", "sample", "dtd", "--data-root", "data")
    monkeypatch.setitem(PAPER_DATASETS, "dtd", PAPER_DATASETS["dtd"]._replace(classes=6, sizes=Sizes(36, 12, 24)))
    ran = cocoop("datasets", "check", "dtd", "--data-root", "data")
    assert ran.code == 0 and ran.err == ""
    assert [cells(line)[-1] for line in ran.out.splitlines()[2:-1]] == ["note"]
    assert ran.out.endswith("\nnothing missing or miscounted: dtd\n")


def test_check_all_of_an_empty_root(cocoop, tmp_path):
    (tmp_path / "data").mkdir()
    ran = cocoop("datasets", "check", "all", "--data-root", "data", "--json")
    findings = json.loads(ran.out)
    assert ran.code == 1 and [one["name"] for one in findings] == list(PAPER_DATASETS)
    assert findings[1] == {
        "name": "caltech101",
        "what": "folder",
        "where": "caltech-101",
        "expected": "the folder of Caltech101",
        "got": "no such folder",
        "note": False,
    }


def test_sample_all_and_never_twice(cocoop, tmp_path):
    ran = cocoop("datasets", "sample", "all", "--data-root", "data", "--images", 4)
    assert ran.code == 0
    assert ran.out.splitlines() == [f"data/{row.folder}" for row in PAPER_DATASETS.values()]

    shutil.rmtree(tmp_path / "data/imagenet")
    ran = cocoop("datasets", "sample", "all", "--data-root", "data")
    assert ran.code == 2 and "never overwritten" in ran.err and "caltech-101, oxford_pets" in ran.err
    assert not (tmp_path / "data/imagenet").exists()


def test_a_variant_is_tried_after_learning_on_imagenet(cocoop):
    ran = cocoop("datasets", "sample", "imagenet_r", "--data-root", "data")
    trial = "cocoop benchmark domain-generalization --datasets imagenet --targets imagenet_r --data-root data "
    assert f"try: cocoop datasets sample imagenet --data-root data && {trial}" in ran.err
    cocoop("datasets", "sample", "imagenet", "--data-root", "data")
    assert f"try: {trial}" in cocoop("datasets", "sample", "imagenet_a", "--data-root", "data").err.replace("_a", "_r")


def test_the_command_to_try_keeps_a_root_with_blanks_together(cocoop):
    assert "--data-root 'my data' --clip tiny" in cocoop("datasets", "sample", "dtd", "--data-root", "my data").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "show pets",
            "data set: expected one of imagenet, .* or images of your own; got 'pets', where there is no file",
        ),
        ("check pets --data-root .", "data set: expected one of imagenet, "),
        ("check digits --data-root .", "data set: expected one of imagenet, "),
        ("sample digits --data-root .", "data set: expected one of imagenet, "),
        ("check dtd --data-root nowhere", "--data-root: expected the data root; there is no folder nowhere"),
        ("sample dtd --data-root . --images 3", "images: expected 4 or more per class"),
    ],
)
def test_wrong_input_is_one_line(cocoop, arguments, message):
    ran = cocoop("datasets", *arguments.split())
    assert ran.code == 2 and ran.out == ""
    assert re.match(f"cocoop: {message}", ran.err) and ran.err.count("\n") == 1


def test_no_command_imports_torch(tmp_path):
    code = (
        "import sys\n"
        "from cocoop.cli import app\n"
        "for line in ('list', 'show dtd', 'sample dtd --data-root .', 'check dtd --data-root .'):\n"
        "    app(['datasets', *line.split()], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, (tmp_path / "dtd").is_dir()) == (0, True), ran.stderr
