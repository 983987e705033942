"""`cocoop predict` and `cocoop embed`: sources, formats, zero-shot, resume, errors in rows; against Python."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from cocoop import CLIP, Predictor, PromptClassifier, ZeroShot
from cocoop.features import encode_pictures

PREDICT = ("predict", "run", "--device", "cpu")
BAD = "photos/one/bad.png"


@pytest.fixture
def paths(trained) -> list[str]:
    """The 18 pictures by relative paths, in order; beside them a damaged one, a note and a hidden file."""
    root = trained.parent
    paths = sorted(str(path.relative_to(root)) for path in (root / "photos").rglob("*.png"))
    (root / BAD).write_bytes(b"no picture")
    (root / "photos" / "notes.txt").touch()
    (root / "photos" / ".DS_Store").touch()
    return paths


def rows_of(path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_a_folder_to_csv(cocoop, paths):
    ran = cocoop(*PREDICT, "photos", "--out", "rows.csv", "--threshold", 0.5)
    assert (ran.code, ran.out) == (1, "19 rows, 1 of them errors: rows.csv\n")
    assert ran.err.splitlines() == [
        "note: exact inference",
        "note: left out files with other endings (1 .txt): photos/notes.txt",
        "cocoop: 1 of 19 pictures could not be read; their rows say why.",
    ]
    rows = rows_of("rows.csv")
    assert [row["image"] for row in rows] == sorted([*paths, BAD])
    expected = PromptClassifier.load("run", device="cpu").predict_proba(paths)
    good = [row for row in rows if not row["error"]]
    assert [float(row["probability"]) for row in good] == pytest.approx(expected.max(axis=1).tolist(), abs=1e-6)
    assert [row["class"] != "" for row in good] == [float(row["probability"]) >= 0.5 for row in good]
    bad = next(row for row in rows if row["error"])
    assert bad["image"] == BAD and bad["error"].startswith(f"{BAD}: expected an image that Pillow can decode")


@pytest.mark.parametrize(
    ("name", "told"),
    [("rows.csv", "stopped after 3 rows; the same command with --resume goes on"), ("rows.parquet", "stopped")],
)
def test_ctrl_c_says_what_is_there_and_how_to_go_on(cocoop, paths, monkeypatch, name, told):
    stream = Predictor.stream

    def interrupted(self, pictures):
        yield from islice(stream(self, pictures), 3)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "stream", interrupted)
        ran = cocoop(*PREDICT, "photos", "--out", name)
    assert (ran.code, ran.out, ran.err.splitlines()) == (130, "", [f"note: {told}"])
    if name == "rows.csv":
        assert len(rows_of(name)) == 3
        cocoop(*PREDICT, "photos", "--out", name, "--resume")
        assert len(rows_of(name)) == 19
    else:
        assert not Path(name).exists()


def test_few_pictures_have_the_bits_of_predict_proba(cocoop, paths):
    ran = cocoop(*PREDICT, *paths[:7], "--format", "jsonl", "--top", 3)
    assert (ran.code, ran.err) == (0, "note: exact inference\n")
    rows = [
        {entry["class"]: entry["probability"] for entry in json.loads(line)["top"]} for line in ran.out.splitlines()
    ]
    classifier = PromptClassifier.load("run", device="cpu")
    expected = classifier.predict_proba(paths[:7])
    assert np.array_equal([[row[name] for name in classifier.classes_] for row in rows], expected)


def test_the_table_has_errors_in_their_place(cocoop, paths):
    ran = cocoop(*PREDICT, paths[0], BAD, paths[1])
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert [line[0] for line in lines] == [paths[0], BAD, paths[1]] and ran.code == 1
    assert lines[1][1:3] == ["", ""] and "Pillow" in lines[1][3] and [len(line) for line in lines] == [3, 4, 3]
    entries = json.loads(cocoop(*PREDICT, paths[0], BAD, "--json").out)
    assert list(entries[0]) == ["image", "class", "probability"] and list(entries[1]) == ["image", "error"]


def test_zero_shot_without_a_run(cocoop, paths):
    options = ("--clip", "tiny", "--classes", "one, three", "--top", 2, "--device", "cpu")
    ran = cocoop("predict", *options, *paths[:3], "--json")
    assert (ran.code, ran.err) == (0, "note: zero-shot, with the prompt 'a photo of a {}.'\n")
    clip = CLIP.load("tiny", device="cpu")
    expected = ZeroShot(clip, ["one", "three"]).probabilities(encode_pictures(clip, paths[:3])).double().numpy()
    got = {(entry["image"], entry["class"]): entry["probability"] for entry in json.loads(ran.out)}
    for path, (one, three) in zip(paths, expected, strict=False):
        assert (got[path, "one"], got[path, "three"]) == pytest.approx((one, three), abs=1e-6)
    # With a run in front the same options mean its prompt, on that CLIP and these classes.
    with_run = cocoop("predict", "run", *options, *paths[:3], "--json")
    assert with_run.err == "note: exact inference\n" and with_run.out != ran.out
    assert cocoop("predict", *options, "photos/three").err.startswith("note: zero-shot")


def test_sources_side_by_side(cocoop, paths, tmp_path, monkeypatch):
    (tmp_path / "list.txt").write_text("\n".join(paths[:2]))
    (tmp_path / "t.csv").write_text(f"picture\n{paths[2]}\nnowhere.png\n")
    subprocess.run(["tar", "cf", "x.tar", *paths[3:5]], check=True, cwd=tmp_path)
    ran = cocoop(*PREDICT, "@list.txt", "t.csv:picture", "x.tar", "photos/se*/*.png", "--json")
    entries = json.loads(ran.out)
    assert ran.err == "note: exact inference\ncocoop: 1 of 12 pictures could not be read; their rows say why.\n"
    names = [*paths[:3], "nowhere.png", *(f"x.tar/{path}" for path in paths[3:5]), *paths[6:12]]
    assert [entry["image"] for entry in entries] == names
    by_name = {entry["image"]: entry for entry in json.loads(cocoop(*PREDICT, *paths, "--json").out)}
    for entry in entries:
        if "error" not in entry:
            expected = by_name[entry["image"].removeprefix("x.tar/")]
            assert (entry["class"], entry["probability"]) == (
                expected["class"],
                pytest.approx(expected["probability"], abs=1e-6),
            )


def test_stdin(trained, paths):
    code = "from cocoop.cli import main; main()"
    command = [sys.executable, "-c", code, *PREDICT, "-"]
    ran = subprocess.run(command, input="\n".join(paths[:2]), capture_output=True, text=True, cwd=trained.parent)
    assert [line.split("\t")[0] for line in ran.stdout.splitlines()] == paths[:2] and ran.returncode == 0


def test_a_named_pipe_and_a_device_do_not_hang(trained, paths):
    pipe = "photos/one/pipe.png"
    os.mkfifo(trained.parent / pipe)
    command = [sys.executable, "-c", "from cocoop.cli import main; main()", *PREDICT, "photos/one", pipe, "/dev/zero"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=trained.parent, timeout=120)
    assert ran.returncode == 1 and ran.stderr.endswith("3 of 9 pictures could not be read; their rows say why.\n")
    assert ran.stdout.count("expected a regular file") == 2


@pytest.mark.parametrize("ending", ["npy", "parquet"])
def test_embed_once_and_predict_from_that(cocoop, paths, ending):
    out = f"features.{ending}"
    ran = cocoop("embed", "photos", "--clip", "tiny", "--out", out, "--device", "cpu")
    assert (ran.code, ran.out) == (1, f"18 features of 128 numbers: {out}\n")
    assert "1 of 19 pictures could not be read; the file has no features of them." in ran.err
    expected = json.loads(cocoop(*PREDICT, "photos", "--json").out)
    ran = cocoop(*PREDICT, out, "--json")
    entries = json.loads(ran.out)
    assert ran.code == 1 and [entry["image"] for entry in entries] == sorted([*paths, BAD])
    for entry, other in zip(entries, expected, strict=True):
        assert {**entry, "probability": 0} == {**other, "probability": 0}
        assert entry.get("probability") == pytest.approx(other.get("probability"), abs=1e-6)
    told = cocoop(*PREDICT, out, "photos")
    assert told.code == 2 and f"{out}: expected files of features only" in told.err


def test_embeddings_beside_predictions_are_such_a_file_too(cocoop, paths):
    assert cocoop(*PREDICT, *paths, "--out", "rows.parquet", "--embeddings").code == 0
    table = pyarrow.parquet.read_table("rows.parquet")
    features = np.array(table["embedding"].to_pylist(), dtype=np.float32)
    assert np.array_equal(features, encode_pictures(CLIP.load("tiny", device="cpu"), paths).numpy())
    again = json.loads(cocoop(*PREDICT, "rows.parquet", "--json").out)
    assert [entry["probability"] for entry in again] == pytest.approx(table["probability"].to_pylist(), abs=1e-6)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_killed_and_resumed(trained, paths, ending, cocoop):
    """A real kill, while it writes."""
    root = trained.parent
    for number in range(400):
        shutil.copy(root / paths[number % 18], root / "photos" / "one" / f"more-{number:03}.png")
    out = root / f"rows.{ending}"
    arguments = [*PREDICT, "photos", "--out", out.name]
    process = subprocess.Popen(
        [sys.executable, "-c", "from cocoop.cli import main; main()", *arguments], cwd=root, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not (out.exists() and out.stat().st_size > 3000):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = out.read_bytes()
    ran = cocoop(*arguments, "--resume")
    assert ran.code == 1 and "cocoop: 1 of 419 pictures could not be read" in ran.err
    assert out.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    rows = rows_of(out) if ending == "csv" else map(json.loads, out.read_text().splitlines())
    names = [row["image"] for row in rows]
    assert names == sorted(str(path.relative_to(root)) for path in (root / "photos").rglob("*.png"))
    after = out.read_bytes()
    assert cocoop(*arguments, "--resume").code == 1 and out.read_bytes() == after


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos"], r"expected a run folder and then pictures; got photos alone"),
        (["run"], r"expected a run folder and then pictures; got run alone"),
        (["run", "--clip", "tiny", "--classes", "one,two"], "got run alone"),
        (["--clip", "tiny", "--classes", "one,two", "nowhere"], "nowhere: expected picture files"),
        (["run", "photos", "--format", "xls"], "--format: expected one of table, csv, jsonl, parquet"),
        (["run", "photos", "--out", "rows.xls"], "--out: expected a file that ends in"),
        (["run", "photos", "--out", "run/config.json", "--format", "csv"], "expected a new file"),
        (["run", "photos", "--embeddings"], "--embeddings: expected"),
        (["run", "photos", "--resume"], "--resume: expected --out"),
        (["run", "empty"], "empty: expected pictures; got none"),
        (["run", "photos", "--classes", "one,two", "--clip", "tiny", "--tokenizer", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_work(cocoop, paths, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    ran = cocoop("predict", *arguments)
    assert ran.code == 2 and message in ran.err and ran.err.count("\n") == 1, ran.err


def test_nothing_to_embed_leaves_no_file(cocoop, tmp_path):
    (tmp_path / "empty").mkdir()
    ran = cocoop("embed", "empty", "--clip", "tiny", "--out", "features.npy")
    assert (ran.code, ran.out) == (2, "") and "empty: expected pictures; got none" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_parquet_without_pyarrow_says_what_to_install(cocoop, paths, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for arguments in (
        [*PREDICT, paths[0], "--out", "x.parquet"],
        ["embed", paths[0], "--clip", "tiny", "--out", "x.parquet"],
    ):
        ran = cocoop(*arguments)
        assert ran.code == 2 and "pip install 'cocoop[parquet]'" in ran.err
    assert not Path("x.parquet").exists()
