"""Methods that are bound to their classes: refused before anything runs, or left out of "all"."""

import pytest
from small_data import make_trial, write_dataset, write_datasets

from cocoop import METHODS, InputError
from cocoop.protocols import Benchmark, estimate, narrowed, out_of_reach, preset
from cocoop.protocols.plan import Trial

HEADS = {"zs-lp", "clap", "taskres", "tip-adapter", "tip-adapter-f", "linear-probe"}
EVERY = sorted(METHODS)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write_datasets(folder) | {"again": write_dataset(folder, "again")}


def quick(protocol: str, method: str) -> Trial:
    recipe = METHODS[method].recipe
    trial = make_trial(protocol, method)
    return trial if recipe else Trial(**vars(trial) | {"settings": {}})


@pytest.mark.parametrize("protocol", ["base-to-new", "cross-dataset", "domain-generalization"])
def test_they_are_refused_before_anything_runs(datasets, tmp_path, protocol):
    trials = [quick(protocol, method) for method in ("zero-shot", "clap", "kgcoop", "tip-adapter")]
    test = "new" if protocol == "base-to-new" else "other"
    message = rf"take new classes, because {protocol} tests .* on others \({test}\); got clap, tip-adapter, bound"
    for run in (Benchmark.run, Benchmark.open_trials, estimate):
        with pytest.raises(InputError, match=message) as refusal:
            run(Benchmark(trials, tmp_path / "out", "tiny", datasets))
        assert "\n" not in str(refusal.value)
    assert not list((tmp_path / "out").glob("*/*"))
    assert {trial.method for trial in out_of_reach(trials, datasets)} == {"clap", "tip-adapter"}


def test_they_are_tested_on_other_images_of_their_classes(datasets, tmp_path):
    """As the shifted variants of a data set have them."""
    trial = make_trial("domain-generalization", "clap")
    (own, other) = trial.tests
    again = Trial(**vars(trial) | {"tests": (own, type(other)("again", "again", "all"))})
    assert Benchmark([again], tmp_path / "out", "tiny", datasets).run() == []


def test_all_methods_run_few_shot_and_are_estimated(datasets, tmp_path):
    trials = [quick("few-shot", method) for method in METHODS]
    benchmark = Benchmark(trials, tmp_path / "out", "tiny", datasets)
    assert out_of_reach(trials, datasets) == []
    _, costs = estimate(benchmark)
    for trial, cost in zip(trials, costs, strict=True):
        assert (cost.steps > 0) == (METHODS[trial.method].recipe is not None) and cost.seconds > 0
    assert benchmark.run() == []


def test_all_is_every_method_that_is_registered():
    assert sorted(narrowed(preset("few-shot", "offline"), methods=("all",)).methods) == EVERY
    trials = narrowed(preset("base-to-new", "offline"), methods=("all",)).trials("base-to-new")
    assert sorted({trial.method for trial in trials}) == EVERY
