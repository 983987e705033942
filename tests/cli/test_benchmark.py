"""`cocoop benchmark`: the presets' smoke versions whole, plans beforehand, and what can go wrong."""

import json
import os
import subprocess
import sys

import pytest
from own_photos import listing, write_photos

from cocoop import METHODS
from cocoop.protocols import PROTOCOLS, Benchmark, narrowed, preset
from cocoop.results import BASELINES, read_json, read_run
from cocoop.workers import Failure

QUICK = ("--shots", "1", "--seeds", "1", "--epochs", "1", "--device", "cpu", "--no-baselines")


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """Eight images of each of four digits, in `digits-here` of the working directory."""
    monkeypatch.setenv("COCOOP_CACHE", str(tmp_path / "cache"))
    return write_photos(tmp_path / "digits-here", 8, ["one", "seven", "three", "four"]).name


def test_smoke_has_a_folder_of_its_own(cocoop, tmp_path):
    ran = cocoop("benchmark", "few-shot", "--preset", "smoke", "--datasets", "dtd", "--methods", "zero-shot")
    assert ran.code == 0, ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["cocoop-smoke"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_smoke(cocoop, tmp_path, protocol):
    """Base-to-new with the baselines, few-shot without."""
    less = ("--no-baselines",) if protocol == "few-shot" else ()
    ran = cocoop("benchmark", protocol, "--preset", "smoke", "--out", "out", "--device", "cpu", *less)
    assert ran.code == 0, ran.err
    trials = narrowed(preset(protocol, "smoke"), baselines=not less).trials(protocol)
    records = (tmp_path / "out").rglob("record.json")
    assert {path.parent for path in records} == {tmp_path / "out" / trial.folder for trial in trials}
    for trial in trials:
        record = read_json(tmp_path / "out" / trial.folder / "record.json")
        assert list(record["results"]) == [test.name for test in trial.tests]
        assert all(scores["n"] > 0 for scores in record["results"].values())
        assert trial.dataset in ran.out and trial.method in ran.out
    assert (f"expected of cocoop benchmark {protocol} --preset smoke: a table" in ran.err) == (not less)
    assert f"{len(trials)} of {len(trials)} runs are done" in ran.err
    assert "next: cocoop report out --format html" in ran.err


def test_again_it_does_nothing_twice(cocoop, digits, tmp_path):
    command = ("benchmark", "base-to-new", "--datasets", digits, "--out", "out", *QUICK)
    first = cocoop(*command)
    assert first.code == 0, first.err
    assert "done already" not in first.err and (tmp_path / "out/splits/digits-here.json").is_file()
    before = listing(tmp_path / "out")
    second = cocoop(*command)
    assert (second.code, second.out, listing(tmp_path / "out")) == (0, first.out, before)
    assert "3 of 3 runs are done already" in second.err
    # More of it: only what is new.
    more = cocoop(*command, "--seeds", "1,2", "--methods", "coop", "--json")
    summary = json.loads(more.out)
    assert (summary["done"], summary["failed"], summary["out"]) == (2, [], "out")
    assert summary["tables"]


def test_all_methods_are_those_that_can_be_tested(cocoop, digits, tmp_path):
    command = ("benchmark", "--datasets", digits, "--methods", "all", "--dry-run", "--json", *QUICK)
    write_photos(tmp_path / "others", 8, ["one", "four"])
    told, other = {}, ("--targets", "others")
    for protocol, more in {"few-shot": (), "base-to-new": (), "cross-dataset": other}.items():
        ran = cocoop(*command[:1], protocol, *command[1:], *more)
        assert ran.code == 0, ran.err
        told[protocol] = {run["method"] for run in json.loads(ran.out)["runs"]}, "bound to the classes" in ran.err
    everyone = {*METHODS}
    assert told["few-shot"] == told["base-to-new"] == (everyone, False)
    assert told["cross-dataset"] == ({name for name in everyone if METHODS[name].bound is None}, True)
    refused = cocoop("benchmark", "cross-dataset", "--datasets", digits, *other, "--methods", "clap,zs-lp", *QUICK)
    assert refused.code == 2
    assert "expected ones that take new classes" in refused.err and "got clap, zs-lp" in refused.err


def test_every_method_is_compared_with_the_baselines(cocoop, digits):
    """With two seeds, so that there is an interval."""
    command = ("benchmark", "base-to-new", "--datasets", digits, "--methods", "coop", *QUICK[:-1], "--seeds", "1,2")
    ran = cocoop(*command, "--out", "out", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert told["done"] == 2 + 1 + 1 + 2 + 2
    base_to_new, _, calibration, compared = told["tables"]
    assert {row["probabilities"] for row in calibration["rows"]} == {"plain"}  # unless it is asked for
    assert [row["method"] for row in base_to_new["rows"]] == [*BASELINES, "coop"]
    assert [(row["against"], row["figure"]) for row in compared["rows"]] == [
        *((against, figure) for against in BASELINES[:2] for figure in ("base", "new", "H")),
        *((against, "base") for against in BASELINES[2:]),
    ]
    base = {row["method"]: row["base"]["mean"] for row in base_to_new["rows"]}
    for row in compared["rows"]:
        assert row["seeds"] == 2 and row["95 % interval"]["low"] <= row["difference"] <= row["95 % interval"]["high"]
        if row["figure"] == "base":
            assert row["difference"] == pytest.approx(base["coop"] - base[row["against"]])


def test_own_images_are_augmented_as_train_augments_them(cocoop, digits):
    command = ("benchmark", "few-shot", "--datasets", digits, "--methods", "coop", *QUICK)
    assert cocoop("train", digits, "--out", "trained", "--method", "coop", "--epochs", 1).code == 0
    assert cocoop(*command, "--out", "out").code == cocoop(*command, "--out", "views", "--views", 2).code == 0
    run = f"few-shot/{digits}/coop/1-shots/seed-1"
    augmented = {at: read_run(at).record.learning.augment for at in ("trained", f"out/{run}", f"views/{run}")}
    assert list(augmented.values()) == [False, False, True]


def test_a_plan_beforehand(cocoop, digits, tmp_path):
    before = listing(tmp_path)
    command = ("benchmark", "few-shot", "--datasets", digits, "--shots", "2", "--no-baselines", "--out", "out")
    ran = cocoop(*command, "--dry-run")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    header, rows = cells[0], cells[2:]
    assert header[:9] == ["protocol", "dataset", "method", "shots", "seed", "done", "images", "classes", "steps"]
    assert header[9:] == ["seconds", "memory mb"]
    # 2 of each of 4 classes; CoOp 100 epochs of one batch of 8, CoCoOp 10 of 8 steps.
    assert [row[2:9] for row in rows] == [
        ["zero-shot", "0", "1", "no", "0", "4", "0"],
        *(["coop", "2", seed, "no", "8", "4", "100"] for seed in "123"),
        *(["cocoop", "2", seed, "no", "8", "4", "80"] for seed in "123"),
    ]
    assert lines[-1].startswith("7 of 7 runs to do, 1 at a time: about ") and "An estimate" in lines[-1]
    assert listing(tmp_path) == before


def test_what_is_left_out_is_said(cocoop, digits, tmp_path):
    (tmp_path / digits / "one/about.txt").touch()
    ran = cocoop("benchmark", "few-shot", "--datasets", digits, "--out", "out", "--dry-run")
    assert f"note: {digits}: left out files with other endings (1 .txt): one/about.txt" in ran.err.splitlines()


def test_a_plan_for_machines_knows_what_is_done(cocoop, digits):
    command = ("benchmark", "few-shot", "--datasets", digits, "--out", "out", *QUICK)
    cocoop(*command, "--methods", "zero-shot")
    plan = json.loads(cocoop(*command, "--dry-run", "--json").out)
    assert [(run["method"], run["done"]) for run in plan["runs"]] == [
        ("zero-shot", True),
        ("coop", False),
        ("cocoop", False),
    ]
    assert plan["estimated_seconds"] > 0 and plan["estimated_memory_mb"] > 0


def test_a_plan_of_miniatures_leaves_none(cocoop, tmp_path):
    command = ("benchmark", "base-to-new", "--preset", "smoke", "--datasets", "dtd", "--out", "out", "--dry-run")
    ran = cocoop(*command, "--device", "cpu")
    assert ran.code == 0, ran.err
    assert listing(tmp_path) == {}


def test_a_run_that_fails_is_listed_and_the_others_done(cocoop, digits, tmp_path):
    command = ("benchmark", "few-shot", "--datasets", digits, "--out", "out", *QUICK)
    assert cocoop(*command, "--methods", "zero-shot").code == 0
    for entry in json.loads((tmp_path / "out/splits/digits-here.json").read_text())["train"]:
        (tmp_path / digits / entry[0]).write_bytes(b"no image")
    ran = cocoop(*command)
    assert ran.code == 1
    failed = [line for line in ran.err.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 2
    assert (
        failed[0].startswith("failed: few-shot/digits-here/coop/1-shots/seed-1: ") and "expected an image" in failed[0]
    )
    assert "zero-shot" in ran.out and "1 of 3 runs are done" in ran.err and "Traceback" not in ran.err
    told = json.loads(cocoop(*command, "--json").out)
    assert [failure["run"] for failure in told["failed"]] == [
        f"few-shot/digits-here/{method}/1-shots/seed-1" for method in ("coop", "cocoop")
    ]


def test_nothing_done_at_all(cocoop, digits, monkeypatch):
    monkeypatch.setattr(Benchmark, "run", lambda self, jobs: [Failure(trial, "no luck") for trial in self.trials])
    ran = cocoop("benchmark", "few-shot", "--datasets", digits, *QUICK)
    assert (ran.code, ran.out) == (1, "") and ran.err.count("no luck") == 3


def test_ctrl_c(cocoop, digits, monkeypatch):
    def interrupted(self, jobs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Benchmark, "run", interrupted)
    ran = cocoop("benchmark", "few-shot", "--datasets", digits, *QUICK)
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.splitlines()[-1] == "stopped; the same command goes on from here"


def test_the_bundled_clip_is_not_for_photographs(cocoop, tmp_path):
    cocoop("datasets", "sample", "dtd", "--data-root", "data")
    ran = cocoop("benchmark", "base-to-new", "--data-root", "data", "--datasets", "dtd", "--out", "out", *QUICK)
    assert ran.code == 0, ran.err
    assert "note: the bundled CLIP 'tiny' is for trials" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["base2new"], "protocol: expected one of base-to-new, cross-dataset, domain-generalization, few-shot"),
        (["few-shot", "--preset", "big"], "preset: expected one of paper, offline, smoke; got 'big'"),
        (["few-shot", "--preset", "paper"], "--preset paper: expected --data-root DIR"),
        (["few-shot", "--preset", "smoke", "--data-root", "."], "--preset smoke: expected no --data-root"),
        (["few-shot", "--methods", "clip"], "method: expected one of zero-shot, coop, cocoop"),
        (["few-shot", "--datasets", ","], "--datasets: expected names, comma-separated, none of them empty; got ','"),
        (["few-shot", "--shots", ""], "--shots: expected whole numbers, comma-separated, such as 1,2,3; got ''"),
        (["few-shot", "--shots", "1,two"], "--shots: expected whole numbers"),
        (["few-shot", "--shots", "0"], "shots: expected 1 or more"),
        (["few-shot", "--seeds", "1.5"], "--seeds: expected whole numbers"),
        (["few-shot", "--epochs", "0"], "epochs: expected 1 or more"),
        (["few-shot", "--jobs", "0"], "--jobs: expected 1 or more; got 0"),
        (["few-shot", "--targets", "digits"], "targets: expected none, because few-shot"),
        (["few-shot", "--datasets", "no-such-place"], "no-such-place"),
        (["few-shot", "--data-root", "no-root", "--datasets", "dtd"], "no-root"),
        (["few-shot", "--datasets", "digits-here", "--clip", "no/such/clip", "--shots", "1"], "no/such/clip: expected"),
        (["few-shot", "--datasets", "digits-here", "--out", "digits-here/one/0.png"], "--out: expected a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_input_that_cannot_work(cocoop, digits, arguments, message):
    ran = cocoop("benchmark", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err and ran.err.count("\n") == 1 and "Traceback" not in ran.err


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_training_of_the_warm_up_alone_is_noted(digits, tmp_path, jobs):
    main = "from cocoop.cli import main\nif __name__ == '__main__': main()"
    (tmp_path / "main.py").write_text(main)
    options = ("--datasets", digits, "--out", "out", "--methods", "coop", "--jobs", jobs, *QUICK)
    command = [sys.executable, "main.py", "benchmark", "few-shot", *map(str, options)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("note: the only epoch is the warm-up, at a learning rate of 1e-05") == 1
    assert "Warning" not in ran.stderr


def test_a_job_array_whose_tasks_bash_runs_and_the_same_command_collects(cocoop, digits, tmp_path):
    """Slurm is not here: bash runs the script once for each number of the array, with Slurm's variable set."""
    learned = ("--datasets", digits, "--methods", "zero-shot,coop", *QUICK, "--seeds", "1,2")
    command = ("benchmark", "few-shot", *learned, "--out", "out", "--runner", "slurm", "--json")
    ran = cocoop(*command, "--sbatch", "--partition=cpu --time=1:00:00")
    script = tmp_path / "out" / "slurm" / "few-shot.sh"
    assert json.loads(ran.out)["done"] == 0 and f"next: sbatch {script}\n" in ran.err
    text = script.read_text()
    assert "#SBATCH --array=0-2\n" in text and "#SBATCH --partition=cpu\n#SBATCH --time=1:00:00\n" in text
    for number in range(3):
        environment = os.environ | {"SLURM_ARRAY_TASK_ID": str(number)}
        done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    ran = cocoop(*command)
    assert json.loads(ran.out)["done"] == 3 and "sbatch" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--runner", "mesos"), "expected one of processes, ray, slurm; got 'mesos'"),
        (("--runner", "ray", "--threads", 0), "--threads: expected 1 or more; got 0"),
        (("--threads", 2), "--threads: expected --runner ray or slurm"),
        (("--sbatch", "--time=1"), "--sbatch: expected --runner slurm; got processes"),
        (("--runner", "slurm", "--only", 1), "--only: expected no --runner"),
        (("--only", 99), "--only: expected one of the runs 0.."),
        (("--runner", "slurm", "--preset", "smoke"), "--runner slurm: expected another preset than smoke"),
    ],
)
def test_runners_that_cannot_work(cocoop, digits, arguments, message):
    source = () if "smoke" in arguments else ("--datasets", digits)
    ran = cocoop("benchmark", "few-shot", *source, *QUICK, *arguments)
    assert ran.code == 2 and message in ran.err
