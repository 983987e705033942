"""What a report warns of, from literal records, and that every form says each of it once."""

import json
from html import unescape
from pathlib import Path
from statistics import pvariance

import pytest
import records
import report_pages as pages

from cocoop.data import PAPER_DATASETS, TRAINABLE
from cocoop.protocols import preset
from cocoop.reports import cautions, format_tables, html_report, protocol_tables, run_report
from cocoop.results import harmonic_mean, read_records


def made(*contents):
    return [records.read(Path(f"run-{i}"), content) for i, content in enumerate(contents)]


def whole(dataset, accuracy=50.0, **more):
    """Figures of as many images as the paper's test has, in its two halves."""
    n = PAPER_DATASETS[dataset].sizes.test
    return {
        "base": records.test_figures(accuracy, n=n // 2, **more),
        "new": records.test_figures(accuracy, n=n - n // 2, **more),
    }


def run(method="cocoop", dataset="dtd", seed=1, tests=None, **more):
    return records.record("base-to-new", dataset, method, tests or whole(dataset), seed=seed, **more)


def test_the_papers_own_runs_are_not_warned_of():
    assert cautions(made(*(run(method, seed=seed) for method in ("coop", "cocoop") for seed in (1, 2, 3)))) == []
    assert cautions(made(run("zero-shot"))) == []


def test_fewer_than_three_seeds():
    runs = [run("coop", name, seed) for name, seeds in (("dtd", 3), ("eurosat", 2)) for seed in range(seeds)]
    (line,) = cautions(made(*runs, run("zero-shot"), run("zero-shot", "eurosat")))
    assert line == "Fewer than three seeds, which say little of other seeds: coop (2)."
    twice = made(*[run(seed=seed) for seed in (1, 1, 2)])  # a seed that is there twice is one
    assert "cocoop (2)" in cautions(twice)[0]


def test_miniatures_come_first_and_other_test_images_are_named():
    few = {half: records.test_figures(50, n=10) for half in ("base", "new")}
    some = {half: records.test_figures(50, n=100) for half in ("base", "new")}
    runs = [run("zero-shot", "dtd", tests=few), run("zero-shot", "eurosat", tests=whole("eurosat"))]
    assert cautions(
        made(*runs, run("zero-shot", "oxford_pets", tests=some | {"new": records.test_figures(9, n=500)}))
    ) == [
        "MINIATURES, whose figures mean nothing. Test images: dtd 20 of 1,692.",
        "Not the paper's test images, by their number: oxford_pets 600 of 3,669.",
    ]


def test_every_miniature_is_known_by_its_size():
    """Of the smallest test set of the papers a tenth is more than twice the largest miniature that smoke writes."""
    smallest = min(PAPER_DATASETS[name].sizes.test for name in TRAINABLE)
    assert smallest == 1_692 and 0.1 * smallest > 2 * 48


def test_classes_without_a_test_image():
    tests = whole("dtd") | {"new": records.test_figures(50, n=846, classes=24)}
    (line,) = cautions(made(run("zero-shot", tests=tests)))
    assert line == "Classes without a test image, of which the figures say nothing: dtd, new (22 of 24)."
    old = whole("dtd", classes=None)  # a run of format 4, which does not say
    assert cautions(made(run("zero-shot", tests=old))) == []


def test_the_share_of_dtd_and_eurosat_in_the_spread():
    halves = {
        "dtd": [(70, 50), (80, 60), (75, 40)],
        "eurosat": [(90, 70), (80, 50), (85, 65)],
        "ucf101": [(80, 70)] * 3,
    }
    halves["food101"] = [(90, 91), (80, 91), (70, 90)]

    def tests(dataset, base, new):
        both = whole(dataset)
        return {half: records.test_figures(rate, n=both[half]["n"]) for half, rate in (("base", base), ("new", new))}

    runs = [run("coop", of, seed, tests(of, *pair)) for of, pairs in halves.items() for seed, pair in enumerate(pairs)]
    spread = {of: pvariance([harmonic_mean(*pair) for pair in pairs]) for of, pairs in halves.items()}
    share = 100 * (spread["dtd"] + spread["eurosat"]) / sum(spread.values())
    (line,) = cautions(made(*runs))
    assert 50 < share < 95
    assert line == (
        "DTD's and EuroSAT's share of the variance over seeds of the average H, base-to-new, 16 shots: "
        f"coop {share:.0f} %."
    )


def test_another_clip_and_settings_that_are_not_the_papers():
    changed = records.SETTINGS["cocoop"] | {"epochs": 1, "augment": False}
    few = [run(seed=seed, settings=changed, clip="tiny", shots=4) for seed in (1, 2, 3)]
    clip, settings = cautions(made(*few))
    assert clip.startswith("The CLIP here is tiny, by its name not the papers'")
    assert settings == (
        "Not the paper's settings: cocoop: epochs 1 instead of 10, augment False instead of True, 4 shots instead of "
        "16 (dtd)."
    )
    own = [run(dataset="photos", seed=s, settings=changed, clip="tiny", tests={"base": 1, "new": 2}) for s in (1, 2, 3)]
    assert cautions(made(*own)) == []  # the papers have none of these


@pytest.mark.parametrize("protocol", ["few-shot", "sensitivity"])
def test_fewer_shots_are_the_papers_where_curves_over_shots_are_asked_for(protocol):
    test = {"test": records.test_figures(50, n=PAPER_DATASETS["dtd"].sizes.test)}
    settings = records.SETTINGS["cocoop"]
    runs = [
        records.record(protocol, "dtd", "cocoop", test, shots, seed=seed, settings=settings)
        for shots in (1, 16)
        for seed in (1, 2, 3)
    ]
    assert cautions(made(*runs)) == []


@pytest.fixture
def smoke(tmp_path):
    """Runs as the smoke preset makes them: one shot, seed and epoch, on miniatures with the bundled CLIP."""
    for trial in preset("base-to-new", "smoke").trials("base-to-new"):
        tests = {test.name: records.test_figures(50, n=12, classes=3) for test in trial.tests}
        settings = {"epochs": 1, "batch_size": 32, "lr": 0.002, "augment": True} if trial.shots else {}
        run = records.record(
            "base-to-new", trial.dataset, trial.method, tests, trial.shots, clip="tiny", settings=settings
        )
        records.write(tmp_path, run)
    return read_records([tmp_path])


def test_a_smoke_report_looks_like_one_in_every_form_and_says_each_thing_once(smoke):
    lines, tables = cautions(smoke), protocol_tables(smoke)
    assert lines[0].startswith("MINIATURES, whose figures mean nothing.")
    assert all(any(word in line for line in lines) for word in ("seeds", "test image", "CLIP", "epochs 1"))
    marks = {"table": "warning: ", "latex": "% warning: ", "md": "> **Warning:** ", "html": "<li>"}
    for form, mark in marks.items():
        text = unescape(format_tables(tables, form, lines)).replace("\\", "")
        assert text.partition("</aside>")[0].count(mark) == len(lines)
        for line in lines:
            assert text.count(line) == 1, (form, line)
    assert format_tables(tables, "table", lines).startswith("warning: MINIATURES")
    assert json.loads(format_tables(tables, "json", lines)) == json.loads(format_tables(tables, "json"))
    words = pages.Page(html_report(smoke)).words
    assert all(words.count(line) == 1 for line in lines)


def test_the_page_of_one_run_warns_too(smoke):
    text = run_report(smoke[0])
    assert "MINIATURES, whose figures mean nothing" in text and 'class="cautions"' in text
