"""The papers' figures: their own averages follow from them."""

from pathlib import Path
from statistics import fmean

import pytest

from cocoop import METHODS
from cocoop.data import IMAGENET_VARIANTS, TRAINABLE, TRANSFER_TARGETS
from cocoop.results import departures, harmonic_mean, is_published_clip, published, read_json
from cocoop.results.published import AVERAGES as LATER

PRINTED = read_json(Path(__file__).parents[1] / "reference" / "published.json")
"""All three tables, as a file of their own."""
NAMES = {"zero-shot CLIP": "zero-shot", "CoOp": "coop", "CoCoOp": "cocoop"}

# CoCoOp, CVPR 2022, table 1 (a): averages over 11 data sets as printed.
AVERAGES = {"zero-shot": (69.34, 74.22, 71.70), "coop": (82.69, 63.22, 71.66), "cocoop": (80.47, 71.69, 75.83)}


def test_every_figure_of_table_1():
    rows = {name: row for name, row in PRINTED["base_to_new"].items() if name != "Average"}
    assert list(rows) == list(TRAINABLE)
    for dataset, row in rows.items():
        for method, figures in row.items():
            ours = {half: published("base-to-new", dataset, half, NAMES[method]) for half in ("base", "new")}
            assert ours | {"H": round(harmonic_mean(*ours.values()), 2)} == figures


@pytest.mark.parametrize("protocol", ["cross-dataset", "domain-generalization"])
def test_every_figure_of_tables_2_and_3(protocol):
    for method, row in PRINTED[protocol.replace("-", "_")].items():
        printed = {test: value for test, value in row.items() if not test.startswith("average")}
        assert {test: published(protocol, "imagenet", test, NAMES[method]) for test in printed} == printed


@pytest.mark.parametrize("method", AVERAGES)
def test_the_averages_of_table_1(method):
    base, new = (fmean(published("base-to-new", name, half, method) for name in TRAINABLE) for half in ("base", "new"))
    assert (round(base, 2), round(new, 2), round(harmonic_mean(base, new), 2)) == AVERAGES[method]


@pytest.mark.parametrize(
    ("dataset", "method", "h"),
    # Printed harmonic means, one of each column.
    [("imagenet", "zero-shot", 70.22), ("fgvc_aircraft", "coop", 28.75), ("eurosat", "cocoop", 71.21)],
)
def test_harmonic_means_of_table_1(dataset, method, h):
    base, new = (published("base-to-new", dataset, half, method) for half in ("base", "new"))
    assert round(harmonic_mean(base, new), 2) == h


@pytest.mark.parametrize(("method", "average"), [("coop", 63.88), ("cocoop", 65.74)])
def test_the_averages_of_table_2(method, average):
    assert round(fmean(published("cross-dataset", "imagenet", t, method) for t in TRANSFER_TARGETS), 2) == average


def test_table_3_shares_its_source_column_with_table_2():
    for method in ("coop", "cocoop"):
        in_3, in_2 = (
            published(protocol, "imagenet", "imagenet", method)
            for protocol in ("domain-generalization", "cross-dataset")
        )
        assert in_3 == in_2
    assert all(published("domain-generalization", "imagenet", v, "zero-shot") for v in IMAGENET_VARIANTS)


@pytest.mark.parametrize(
    "question",
    [
        ("cross-dataset", "imagenet", "dtd", "zero-shot"),  # not in table 2
        ("cross-dataset", "dtd", "eurosat", "cocoop"),  # another source
        ("few-shot", "dtd", "test", "coop"),
        ("base-to-new", "digits", "base", "cocoop"),
        ("base-to-new", "dtd", "base", "kgcoop"),
        ("base-to-new", "dtd", "test", "cocoop"),
    ],
)
def test_what_was_not_published(question):
    assert published(*question) is None


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        ("openai/clip-vit-base-patch16", True),
        ("/models/clip-vit-base-patch16", True),
        ("models/clip-vit-base-patch16/", True),
        ("ViT-B-16.pt", True),
        ("ViT-B/16", True),
        ("openai/clip-vit-base-patch32", False),
        ("laion/CLIP-ViT-B-16-laion2B-s34B-b88K", False),
        ("laion/clip-vit-base-patch16", False),
        ("openai/clip-vit-base-patch16-plus", False),
        ("tiny", False),
    ],
)
def test_the_clip_of_the_papers(name, is_it):
    assert is_published_clip(name) is is_it


def test_settings_that_are_not_the_papers():
    assert departures("cocoop", "dtd", {"epochs": 10, "batch_size": 1, "context": "a photo of a"}) == []
    assert departures("cocoop", "dtd", {"epochs": 1, "augment": False}) == [
        "epochs 1 instead of 10",
        "augment False instead of True",
    ]
    # CoOp learned for 50 epochs on ImageNet, 200 elsewhere.
    assert departures("coop", "imagenet", {"epochs": 50}) == departures("coop", "dtd", {"epochs": 200}) == []
    assert departures("coop", "dtd", {"epochs": 50}) == ["epochs 50 instead of 200"]
    assert departures("zero-shot", "dtd", {"templates": ["{} texture."]}) == []
    # In its own few-shot figures it learned from random vectors, and with few images not as long.
    few_shot = {"epochs": 100, "context": None, "context_length": 16}
    assert departures("coop", "dtd", few_shot, "few-shot", 2) == []
    assert departures("coop", "dtd", few_shot | {"context": "a photo of a"}, "few-shot", 16) == [
        "epochs 100 instead of 200",
        "context a photo of a instead of None",
    ]
    # Later methods have papers of their own; a method that is not known departs from nothing.
    assert departures("kgcoop", "imagenet", {"epochs": 1}) == ["epochs 1 instead of 100"]
    assert departures("mine", "imagenet", {"epochs": 1}) == []


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].recipe is not None])
def test_the_papers_settings_are_those_of_the_recipes_and_defaults(method):
    """Kept a second time because reports import no torch."""
    recipe, defaults = METHODS[method].recipe, METHODS[method].setting_defaults()
    ours = {"epochs": recipe.epochs, "batch_size": recipe.batch_size, "lr": recipe.lr, "augment": True} | defaults
    assert [change for change in departures(method, "dtd", ours) if not change.startswith("context")] == []


def test_averages_of_later_methods_are_harmonic_means_of_theirs():
    for method, of in LATER.items():
        # Of two averages that are rounded to 0.01 each, which moves H by as much.
        assert of.h == pytest.approx(harmonic_mean(of.base, of.new), abs=0.01) and of.source and method in METHODS
