"""`cocoop info`, and `--tokenizer` from train to predict."""

import json
import re

import pytest

from cocoop.clip.sources.load import BUNDLED

TRAIN = ("train", "photos", "--out", "run", "--shots", 1, "--epochs", 1, "--no-augment", "--device", "cpu")


def test_the_text(cocoop):
    ran = cocoop("info", "tiny", "--device", "cpu")
    assert (ran.code, ran.err) == (0, "")
    top, estimates = ran.out.split("\n\n", 1)
    header, _, *lines = [[cell.strip() for cell in line.strip("|").split("|", 1)] for line in top.splitlines()]
    rows = dict(lines)
    assert header == ["fact", "value"]
    assert rows["text tower"].startswith("causal transformer: layers 3, width 128, hidden 512, heads 2")
    assert rows["image tower"] == (
        "vision transformer: layers 4, width 192, hidden 768, heads 3, patch 8, image size 32, activation quick_gelu"
    )
    assert rows["read from"] == f"{BUNDLED['tiny'] / 'model.safetensors'} (clip)"
    assert rows["parameters"].startswith("2.7 million: text 0.9, image 1.8")
    assert rows["weights"].endswith("MB, float32 on cpu")
    assert rows["tokenizer"].endswith(", 2,125 tokens")
    assert rows["fast path"] == "yes (the text tower is causal and read at its end token)"
    cells = [line.strip("|").split("|") for line in estimates.splitlines() if line.startswith("|")]
    assert [row[0].strip() for row in cells] == ["classes", "-" * 9, "10", "100", "1,000"]


def test_json_says_the_same_and_the_options_reach_it(cocoop, apart):
    options = ("--tokenizer", "words", "--dtype", "bfloat16", "--device", "cpu", "--class-counts", "7,70")
    ran = cocoop("info", "model", *options, "--json")
    assert (ran.code, ran.err) == (0, "")
    facts = json.loads(ran.out)
    assert (facts["name"], facts["dtype"], facts["device"]) == ("model", "bfloat16", "cpu")
    assert facts["tokenizer"]["source"] == "words"
    assert [row["classes"] for row in facts["memory"]] == [7, 70]
    assert "from words" in cocoop("info", "model", *options).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-model"], "no-such-model: expected tiny, .* got no such folder or file"),
        (["notes.txt"], "notes.txt: expected weights: .*got a text file"),
        (["empty"], "empty: expected a model folder"),
        (["siglip"], "siglip: expected a CLIP .*causal.*bidirectional"),
        (["tiny", "--class-counts", "0"], "classes: expected numbers of classes, 1 to 100,000; got 0"),
        (["tiny", "--dtype", "int4"], "dtype: expected one of auto"),
        (["tiny", "--tokenizer", "nowhere"], "nowhere: expected a folder with a tokenizer"),
    ],
)
def test_bad_input(cocoop, tmp_path, arguments, message):
    (tmp_path / "notes.txt").write_text("These are notes, and no weights.\n")
    for folder in ("empty", "siglip"):
        (tmp_path / folder).mkdir()
    (tmp_path / "siglip" / "config.json").write_text('{"model_type": "siglip"}')
    ran = cocoop("info", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("cocoop: ") and ran.err.count("\n") == 1
    assert re.search(message, ran.err), ran.err


def test_a_tokenizer_from_train_to_predict(cocoop, photos, apart, monkeypatch):
    told = cocoop(*TRAIN, "--clip", "model")
    assert told.code == 2 and told.err.count("\n") == 1 and "--tokenizer" in told.err
    assert not (apart / "run").exists()
    assert cocoop(*TRAIN, "--clip", "model", "--tokenizer", "words").code == 0
    assert cocoop("evaluate", "run", "photos").code == 0

    (apart / "away").mkdir()
    monkeypatch.chdir(apart / "away")
    predict = ("predict", apart / "run", photos / "one" / "0.png")
    before = cocoop(*predict)
    assert before.code == 0, before.err

    (apart / "words").rename(apart / "moved")
    told = cocoop(*predict)
    assert told.code == 2 and told.err.count("\n") == 1
    assert str(apart / "words") in told.err and "--tokenizer" in told.err
    after = cocoop(*predict, "--tokenizer", apart / "moved")
    assert (after.code, after.out) == (0, before.out)
    source = ("evaluate", apart / "run", photos, "--tokenizer", apart / "moved")
    assert cocoop(*source).code == 0


def test_benchmark_takes_it(cocoop, apart):
    options = ("--datasets", "digits", "--methods", "zero-shot", "--no-baselines", "--out", "out", "--device", "cpu")
    told = cocoop("benchmark", "few-shot", *options, "--clip", "model")
    assert told.code == 2 and "--tokenizer" in told.err
    ran = cocoop("benchmark", "few-shot", *options, "--clip", "model", "--tokenizer", "words")
    assert ran.code == 0, ran.err
    (config,) = (apart / "out").rglob("config.json")
    assert json.loads(config.read_text())["parameters"]["tokenizer"] == str(apart / "words")
