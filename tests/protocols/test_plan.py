"""Trials and presets against the papers' settings, written out."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cocoop import InputError
from cocoop.protocols import PRESETS, PROTOCOLS, narrowed, plan, preset
from cocoop.results import TrialRecord
from cocoop.results.typed import from_json

PAPERS = {"zero-shot", "coop", "cocoop"}
BESIDE = {"zero-shot-ensemble", "zs-lp", "clap"}
"""The baselines that are no method of the papers."""

ELEVEN = [
    "imagenet",
    "caltech101",
    "oxford_pets",
    "stanford_cars",
    "oxford_flowers",
    "food101",
    "fgvc_aircraft",
    "sun397",
    "dtd",
    "eurosat",
    "ucf101",
]


def test_table_1():
    trials = preset("base-to-new", "paper").trials("base-to-new")
    assert len(trials) == 11 * (1 + 3 + 3) + 11 * (1 + 3 + 3)
    assert list(dict.fromkeys(trial.dataset for trial in trials)) == ELEVEN
    assert {trial.classes for trial in trials} == {"base"}
    halves = {trial.method: [(test.name, test.classes) for test in trial.tests] for trial in trials}
    assert {method for method, tests in halves.items() if tests == [("base", "base")]} == {"zs-lp", "clap"}
    assert {method for method, tests in halves.items() if tests == [("base", "base"), ("new", "new")]} == {
        *PAPERS,
        "zero-shot-ensemble",
    }
    assert {trial.method for trial in trials if trial.scores_together} == {*PAPERS, "zero-shot-ensemble"}
    assert {(t.method, t.shots, t.seed) for t in trials if t.dataset == "dtd"} == {
        ("zero-shot", 0, 1),
        ("zero-shot-ensemble", 0, 1),
        *((method, 16, seed) for method in ("coop", "cocoop", "zs-lp", "clap") for seed in (1, 2, 3)),
    }
    settings = {(t.method, t.dataset): t.settings for t in trials}
    assert settings["zero-shot", "dtd"] == {}
    assert settings["coop", "dtd"] == {"batch_size": 32, "epochs": 200, "augment": True, "view_seed": 1}
    assert settings["coop", "imagenet"] == {"batch_size": 32, "epochs": 50, "augment": True, "view_seed": 1}
    assert settings["cocoop", "dtd"] == {"batch_size": 1, "epochs": 10, "augment": True, "view_seed": 1}
    assert settings["cocoop", "imagenet"] == settings["cocoop", "dtd"]
    assert settings["zero-shot-ensemble", "dtd"] == {}
    assert settings["clap", "dtd"] == {"batch_size": 256, "epochs": 300, "augment": True, "view_seed": 1}


def test_tables_2_and_3():
    for protocol, targets in (
        ("cross-dataset", ELEVEN[1:]),
        ("domain-generalization", ["imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"]),
    ):
        trials = preset(protocol, "paper").trials(protocol)
        assert len(trials) == 7
        assert {(t.dataset, t.classes) for t in trials} == {("imagenet", "all")}
        assert [test.name for test in trials[0].tests] == ["imagenet", *targets]
        assert {t.method: t.settings for t in trials} == {
            "zero-shot": {},
            "coop": {"batch_size": 32, "epochs": 50, "augment": True, "view_seed": 1},
            "cocoop": {"batch_size": 1, "epochs": 10, "augment": True, "view_seed": 1},
        }


def test_few_shot_figures():
    trials = preset("few-shot", "paper").trials("few-shot")
    assert len(trials) == 11 * (1 + 5 * 3 + 5 * 3) + 11 * (1 + 5 * 3 + 5 * 3)
    coop = {t.shots: t.settings for t in trials if (t.method, t.dataset) == ("coop", "eurosat")}
    assert {shots: chosen["epochs"] for shots, chosen in coop.items()} == {1: 50, 2: 100, 4: 100, 8: 200, 16: 200}
    assert {t.settings["epochs"] for t in trials if (t.method, t.dataset) == ("coop", "imagenet")} == {50}
    assert all((chosen["context"], chosen["context_length"]) == (None, 16) for chosen in coop.values())
    assert {t.settings["epochs"] for t in trials if t.method == "cocoop"} == {10}


def test_later_methods_learn_as_long_as_their_papers_say():
    learners = ("prograd", "taskres", "kgcoop", "clap")
    few_shot = narrowed(preset("few-shot", "paper"), methods=learners, seeds=(1,), baselines=False)
    epochs = {(t.method, t.dataset, t.shots): t.settings["epochs"] for t in few_shot.trials("few-shot")}
    for method, on, expected in (
        ("prograd", "dtd", [50, 100, 100, 200, 200]),
        ("prograd", "imagenet", [50] * 5),
        ("taskres", "dtd", [100, 100, 100, 200, 200]),
        ("taskres", "imagenet", [100, 100, 100, 200, 200]),
        ("kgcoop", "dtd", [100] * 5),
        ("clap", "dtd", [300] * 5),
    ):
        assert [epochs[method, on, shots] for shots in (1, 2, 4, 8, 16)] == expected, (method, on)
    of_four = narrowed(preset("base-to-new", "paper"), ["dtd"], methods=("prograd", "coop"), shots=(4,))
    of_four = narrowed(of_four, baselines=False)
    assert {t.method: t.settings["epochs"] for t in of_four.trials("base-to-new")} == {"prograd": 100, "coop": 200}


REGISTERED = """
import json
from dataclasses import asdict
from cocoop.methods import METHODS, CoCoOp
methods = dict(METHODS)
METHODS.clear()
METHODS.update({"another": type("Another", (CoCoOp,), {}), **methods})
from cocoop.protocols import PROTOCOLS, narrowed, preset
trials = [trial for name in ("paper", "offline", "smoke") for p in PROTOCOLS for trial in preset(p, name).trials(p)]
named = narrowed(preset("few-shot", "offline"), methods=("another",)).trials("few-shot")
epochs = sorted({(trial.method, trial.settings["epochs"]) for trial in named if trial.shots})
print(json.dumps([[asdict(trial) for trial in trials], epochs]))
"""


def test_a_new_method_changes_no_preset():
    """The papers' tables are of the papers' methods, whatever else is registered, and wherever in the list."""
    ran = subprocess.run([sys.executable, "-c", REGISTERED], capture_output=True, text=True, check=True)
    trials, named = json.loads(ran.stdout)
    names = ("paper", "offline", "smoke")
    expected = [asdict(trial) for name in names for p in PROTOCOLS for trial in preset(p, name).trials(p)]
    assert trials == json.loads(json.dumps(expected)) and {trial["method"] for trial in trials} == PAPERS | BESIDE
    assert named == [["another", 10], ["clap", 300], ["zs-lp", 300]]


def test_smoke_is_the_papers_cut_to_one():
    for protocol in PROTOCOLS:
        small, paper = preset(protocol, "smoke"), preset(protocol, "paper")
        assert (small.datasets, small.methods) == (paper.datasets, paper.methods)
        trials = small.trials(protocol)
        assert {(t.shots, t.seed, t.settings["epochs"]) for t in trials if t.shots} == {(1, 1, 1)}
        alone = (*plan.TRANSFERS, "sensitivity")
        unvaried = [trial for trial in trials if not trial.varied]
        assert len(unvaried) == (3 if protocol in alone else 6) * len(paper.datasets)


def test_offline_presets_need_no_download_and_do_not_cut_signs():
    from cocoop.data import OFFLINE, OFFLINE_VARIANTS

    for protocol, presets in PRESETS.items():
        for trial in presets["offline"].trials(protocol):
            assert {*trial.data} <= {*OFFLINE, *OFFLINE_VARIANTS}
            assert trial.settings.get("augment", False) is False


def test_the_users_own_images_are_augmented_as_the_clip_says_or_where_views_are_asked_for():
    own = narrowed(preset("few-shot", "offline"), ["photos/"], methods=("cocoop",), baselines=False)
    assert {trial.settings["augment"] for trial in own.trials("few-shot")} == {"auto"}
    for trial in narrowed(own, views=3).trials("few-shot"):
        assert (trial.settings["augment"], trial.settings["views"]) == (True, 3)


def test_every_preset_says_how_to_run_it_and_what_comes_out():
    for protocol, presets in PRESETS.items():
        for one in (*presets.values(), preset(protocol, "smoke")):
            assert one.command.startswith(f"cocoop benchmark {protocol}") and one.expected


def test_trials_have_folders_of_their_own():
    trials = [t for protocol in PROTOCOLS for t in preset(protocol, "paper").trials(protocol)]
    folders = {trial.folder for trial in trials}
    assert len(folders) == len(trials)
    assert str(trials[1].folder) == "base-to-new/imagenet/coop/16-shots/seed-1"


def test_narrowing():
    full = preset("cross-dataset", "paper")
    narrow = narrowed(full, ["a/photos"], ["b", "c", "b"], methods=("coop",), shots=(4, 4), seeds=(0,), epochs=3)
    (trial,) = narrow.trials("cross-dataset")
    assert [test.name for test in trial.tests] == ["a/photos", "b", "c"]
    assert (trial.shots, trial.seed) == (4, 0)
    assert trial.settings == {"batch_size": 32, "epochs": 3, "augment": "auto", "view_seed": 1}
    assert narrowed(full, targets=["dtd"]).datasets == {"imagenet": ["dtd"]}
    assert narrowed(full) == full
    assert narrowed(full, ["a/photos", "digits"], views=3).views == 3


@pytest.mark.parametrize("protocol", [protocol for protocol in PROTOCOLS if protocol != "sensitivity"])
def test_baselines_run_beside_the_methods_unless_they_are_not_asked_for(protocol):
    few = narrowed(preset(protocol, "offline"), ["digits"], methods=("coop", "clap"), shots=(4,), seeds=(1,))
    alone = ["coop", "clap"]
    beside = [] if protocol in plan.TRANSFERS else ["zero-shot", "zero-shot-ensemble", "zs-lp"]
    few = narrowed(few, targets=["shapes"]) if protocol in plan.TRANSFERS else few
    assert [trial.method for trial in few.trials(protocol)] == alone + beside
    assert [trial.method for trial in narrowed(few, baselines=False).trials(protocol)] == alone


@pytest.mark.parametrize(
    ("protocol", "changes", "message"),
    [
        ("base-to-new", {"methods": ("clip",)}, "method: expected one of zero-shot, coop, cocoop.*; got 'clip'"),
        ("few-shot", {"shots": (0,)}, r"shots: expected 1 or more; got \(0,\)"),
        ("few-shot", {"epochs": 0}, "epochs: expected 1 or more; got 0"),
        ("base-to-new", {"targets": ["dtd"]}, "targets: expected none, because base-to-new tests on"),
        ("cross-dataset", {"datasets": ["dtd"]}, r"on dtd; got none. Name them \(--targets\)"),
        ("cross-dataset", {"datasets": ["dtd"], "targets": ["dtd"]}, "on dtd; got none"),
    ],
)
def test_what_cannot_be_a_benchmark(protocol, changes, message):
    with pytest.raises(InputError, match=message):
        narrowed(preset(protocol, "paper"), **changes).trials(protocol)


def test_views_of_what_is_learned_without():
    with pytest.raises(InputError, match=r"views: expected none of data sets that are drawn here \(digits\).*got 5"):
        narrowed(preset("few-shot", "offline"), views=5)


@pytest.mark.parametrize(
    ("of", "message"),
    [(("basetonew", "paper"), "protocol: expected one of base-to-new, "), (("few-shot", "x"), "preset:")],
)
def test_unknown_names_list_the_known(of, message):
    with pytest.raises(InputError, match=message):
        preset(*of)


@given(st.text(min_size=1))
def test_any_name_is_one_plain_part_of_a_path(name):
    place = plan.place_of(name)
    assert place and "/" not in place and not place.startswith(".")


def test_a_trial_is_json():
    for trial in preset("few-shot", "paper").trials("few-shot"):
        assert from_json(TrialRecord, json.loads(json.dumps(asdict(trial)))) == TrialRecord(**vars(trial))
