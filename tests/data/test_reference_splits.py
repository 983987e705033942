"""The original sampler's picks, as recorded in tests/reference (how they were obtained: see its README)."""

import json
from pathlib import Path

import pytest

from cocoop.data import Example, base_to_new, class_names, read_split_json, sample_few_shot, split_hash

REFERENCE = Path(__file__).parents[1] / "reference"
EXPECTED = json.loads((REFERENCE / "few_shot_expected.json").read_text(encoding="utf-8"))
ROOT = Path("/images")


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def dataset(request):
    splits = read_split_json(REFERENCE / f"split_zhou_{request.param}.json", ROOT)
    return EXPECTED[request.param], splits


def test_sizes_and_classes(dataset):
    expected, (train, val, test) = dataset
    assert {"train": len(train), "val": len(val), "test": len(test)} == expected["sizes"]
    assert len(class_names(train)) == expected["classes"]
    assert class_names(train) == class_names(val) == class_names(test)


def facts(train: list[Example], val: list[Example], test: list[Example]) -> dict[str, int | str]:
    return {
        "n_train": len(train),
        "n_val": len(val),
        "n_test": len(test),
        "train_sha256": split_hash(train, ROOT),
        "test_sha256": split_hash(test, ROOT),
    }


@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_picks_and_their_halves_are_the_originals(dataset, shots, seed):
    expected, (train, val, test) = dataset
    expected = expected["picks"][f"shots{shots}-seed{seed}"]
    picked_train, picked_val = sample_few_shot(train, val, shots, seed)
    assert {
        "n_train": len(picked_train),
        "n_val": len(picked_val),
        "train_sha256": split_hash(picked_train, ROOT),
        "val_sha256": split_hash(picked_val, ROOT),
        "first_train": [e.path.relative_to(ROOT).as_posix() for e in picked_train[:3]],
        "base": facts(*base_to_new(picked_train, picked_val, test, half="base")),
        "new": facts(*base_to_new(picked_train, picked_val, test, half="new")),
    } == expected


def test_every_recorded_pick_is_compared():
    recorded = {name: set(entry["picks"]) for name, entry in EXPECTED.items()}
    compared = {f"shots{shots}-seed{seed}" for shots in (1, 2, 4, 8, 16) for seed in (1, 2, 3)}
    assert recorded == {"OxfordPets": compared, "DescribableTextures": compared}


def test_the_border_between_base_and_new(dataset):
    # Measured by hand on the published files: original_protocol.md, section 1.4, last table.
    _, (train, _, _) = dataset
    (base,), (new,) = base_to_new(train, half="base"), base_to_new(train, half="new")
    borders = {"keeshond": ("leonberger", 19, 18), "marbled": ("matted", 24, 23)}
    names, new_names = class_names(base), class_names(new)
    assert (new_names[0], len(names), len(new_names)) == borders[names[-1]]
