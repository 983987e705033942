"""`cocoop import` and `cocoop export --to official`."""

from __future__ import annotations

import json
import shutil

import pytest
import torch


def test_from_a_run_to_the_original_s_form_and_back(cocoop, trained):
    exported = cocoop("export", "run", "--to", "official", "--out", "output", "--json")
    file = trained.parent / "output" / "prompt_learner" / "model.pth.tar-2"
    assert json.loads(exported.out) == {
        "folder": "output",
        "file": "output/prompt_learner/model.pth.tar-2",
        "bytes": file.stat().st_size,
        "classes": 3,
    }
    names = ",".join(json.loads((trained / "config.json").read_text())["class_names"])
    imported = cocoop("import", "output", "--clip", "tiny", "--classes", names, "--out", "again")
    assert (imported.code, imported.out) == (0, "again\tcocoop\t3\t2\n")
    notes = imported.err.splitlines()
    assert notes[0] == "note: seed, images per class, data set: unknown, because no log.txt says it"
    assert notes[1].endswith("evaluate cannot leave them out") and len(notes) == 2
    before, after = (cocoop("predict", run, "photos", "--json", "--device", "cpu").out for run in ("run", "again"))
    assert before == after and len(json.loads(before)) == 18
    page = cocoop("report", "again")
    assert page.code == 0 and "imported from model.pth.tar-2" in (trained.parent / "again/report.html").read_text()
    other = cocoop("import", str(file), "--clip", "tiny", "--classes", "a,b,c", "--out", "new")
    assert other.code == 2 and "to be 'a'; got one whose tokens read" in other.err
    loose = cocoop("import", str(file), "--clip", "tiny", "--classes", "a,b,c", "--out", "new", "--unchecked", "--json")
    assert loose.code == 0 and json.loads(loose.out)["imported"]["checked"] is False


def test_a_checkpoint_as_a_clip_is_told_how_to_be_imported(cocoop, trained):
    assert cocoop("export", "run", "--to", "official", "--out", "output").code == 0
    shutil.copy(trained / "prompt.safetensors", "bare.safetensors")
    for file in ("output/prompt_learner/model.pth.tar-2", "bare.safetensors"):
        refused = cocoop("info", file, "--tokenizer", "tiny")
        assert (
            refused.code == 2 and "learned prompt, not a CLIP; make a run of it with `cocoop import FILE" in refused.err
        )
    imported = cocoop("import", "bare.safetensors", "--clip", "tiny", "--classes", "a,b", "--out", "bare")
    assert imported.out == "bare\tcocoop\t2\tunknown\n" and "were not compared" in imported.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "export --to official --out new",
            "--to official: expected a run folder and nothing of the image tower; got none",
        ),
        ("export run --to official --out new --features", "of the image tower; got --features"),
        ("export run --to official --out run", "run: expected a new or empty folder for the checkpoint; it exists"),
        ("import none.pth --clip tiny --classes a,b --out new", "none.pth: expected a weights file that can be read"),
        ("import none.pth --clip tiny --classes a,b --out run", "run: expected a new or empty folder for the run"),
        ("import run --clip tiny --classes a,b --out new", "got a run folder, which needs no import"),
    ],
)
def test_what_cannot_work(cocoop, trained, arguments, message):
    refused = cocoop(*arguments.split())
    assert refused.code == 2 and message in refused.err and len(refused.err.splitlines()) == 1


def test_exported_tensors_are_the_run_s(cocoop, trained):
    assert cocoop("export", "run", "--to", "official", "--classes", "x,y", "--out", "output").code == 0
    state = torch.load("output/prompt_learner/model.pth.tar-2", weights_only=True)["state_dict"]
    from safetensors.torch import load_file

    for name, tensor in load_file(trained / "prompt.safetensors").items():
        assert torch.equal(state[name], tensor)
    assert state["token_suffix"].shape[:2] == (2, 72) and state["token_prefix"].shape[:2] == (2, 1)
