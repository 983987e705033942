"""What `cocoop train` leaves and says at its end."""

import json
import shlex

import pytest
from own_photos import write_photos

from cocoop.methods import METHODS


@pytest.mark.parametrize("out", ['-our "grüße" run', "it's $HOME"])
def test_each_line_can_be_pasted_and_runs(cocoop, tmp_path, out):
    write_photos(tmp_path / "my photos")
    ran = cocoop("train", "my photos", f"--out={out}", "--shots", 2, "--epochs", 1, "--device", "cpu")
    assert ran.code == 0 and "next: " not in ran.out
    lines = [shlex.split(line)[1:] for line in ran.err.splitlines() if line.startswith("next: ")]
    place = f"./{out}" if out.startswith("-") else out
    assert lines == [
        ["cocoop", "report", place],
        ["cocoop", "predict", place, "my photos", "--out", f"{place}/predictions.csv"],
        ["cocoop", "evaluate", place, "my photos"],
        ["cocoop", "explain", place, "my photos", "--out", f"{place}/explained.html"],
        ["cocoop", "serve", place],
    ]
    for _, *arguments in lines[:-1]:  # the server goes on until it is stopped: tests/cli/test_serve.py
        ran = cocoop(*arguments)
        assert ran.code == 0, ran.err
    assert {"report.html", "predictions.csv", "explained.html"} <= {path.name for path in (tmp_path / out).iterdir()}


def test_options_that_the_others_need_go_along(cocoop, tmp_path, monkeypatch):
    """Of a list, one of its pictures is classified."""
    photos = write_photos(tmp_path / "photos")
    rows = [f"photos/{photo.parent.name}/{photo.name},{k % 3}" for k, photo in enumerate(sorted(photos.glob("*/*")))]
    (tmp_path / "my list.csv").write_text("\n".join(["path,label", *rows]))
    (tmp_path / "my names.txt").write_text("one\nseven\nthree")
    (tmp_path / "mine.py").write_text("import cocoop\nclass Mine(cocoop.CoOp): pass\ncocoop.METHODS['mine'] = Mine\n")
    monkeypatch.setitem(METHODS, "mine", METHODS["coop"])  # and away again
    options = ("--plugin", "mine.py", "--method", "mine", "--shots", 2, "--epochs", 1, "--device", "cpu")
    ran = cocoop("train", "my list.csv", "--class-names", "my names.txt", "--out", "run", *options)
    assert ran.code == 0, ran.err
    _, predict, evaluate, explain, serve = (
        shlex.split(line)[2:] for line in ran.err.splitlines() if line.startswith("next: ")
    )
    assert predict == ["predict", "run", predict[2], "--out", "run/predictions.csv", "--plugin=mine.py"]
    assert evaluate == ["evaluate", "run", "my list.csv", "--class-names=my names.txt", "--plugin=mine.py"]
    assert explain == ["explain", "run", predict[2], "--out", "run/explained.html", "--plugin=mine.py"]
    assert serve == ["serve", "run", "--plugin=mine.py"]
    assert all(cocoop(*command).code == 0 for command in (predict, evaluate, explain))


def test_where_all_images_were_learned_from_there_is_none_to_score(cocoop, photos):
    ran = cocoop("train", photos, "--out", "run", "--epochs", 1, "--device", "cpu")
    assert "no other images to score it on" in ran.out
    lines = [line for line in ran.err.splitlines() if line.startswith("next: ")]
    assert [line.split()[2] for line in lines] == ["report", "predict", "explain", "serve"]
    assert cocoop("report", "run").code == 0


def test_the_run_folder_has_pictures_and_its_card_shows_them(trained):
    card = (trained / "README.md").read_text(encoding="utf-8")
    for name in ("training.png", "confusion.png"):
        assert (trained / name).read_bytes().startswith(b"\x89PNG") and f"]({name})" in card


def test_json_says_no_next_steps_and_zero_shot_has_no_curve(cocoop, photos, tmp_path):
    ran = cocoop("train", photos, "--method", "zero-shot", "--out", "run", "--json", "--device", "cpu")
    assert json.loads(ran.out)["run"] == "run" and "next:" not in ran.err
    assert not (tmp_path / "run" / "training.png").exists() and (tmp_path / "run" / "confusion.png").is_file()
    page = cocoop("report", "run")
    assert page.code == 0 and "Nothing was learned." in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
