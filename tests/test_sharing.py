"""Runs on the hub, through the real client against a small hub of the test's own: what is pushed, found and said."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from fake_hub import TOKEN, FakeHub, Model
from huggingface_hub import ModelCard, constants
from own_photos import labelled

from cocoop import InputError, Predictor, PromptClassifier, RunError
from cocoop.cli import main
from cocoop.results import Mistake, read_run
from cocoop.sharing import found_run, told_to_others

IMAGES, LABELS = labelled(4)
FILES = ["README.md", "config.json", "metrics.jsonl", "prompt.safetensors", "record.json"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny):
    """A run of CoOp, with figures."""
    classifier = PromptClassifier("coop", tiny, shots=2, seed=5, epochs=2, batch_size=4, lr=0.1).fit(IMAGES, LABELS)
    folder = tmp_path_factory.mktemp("runs") / "run"
    classifier.save(folder, classifier.evaluate(IMAGES, LABELS))
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty hub, for which this process has a token, and an empty cache."""
    with FakeHub({}) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.chdir(tmp_path)
        yield server


def holding(run, **changes):
    """A model of the hub with the files of a run, and others."""
    return {path.name: path.read_bytes() for path in run.iterdir()} | changes


def test_what_is_pushed_comes_back_to_the_bit(hub, run, tiny):
    classifier = PromptClassifier.load(run, tiny)
    address = classifier.push_to_hub("o/mine", commit_message="first", private=True)
    pushed = hub.models["o/mine"]
    assert address.startswith(f"{hub.url}/o/mine/commit/") and hub.messages == ["first"] and pushed.private
    back = PromptClassifier.from_pretrained("o/mine", clip=tiny)
    assert np.array_equal(back.predict_proba(IMAGES), classifier.predict_proba(IMAGES))
    place = found_run("o/mine")
    assert {path.name: path.read_bytes() for path in place.iterdir()} == pushed.revisions["main"]
    for name in ("config.json", "metrics.jsonl", "prompt.safetensors"):
        assert pushed.revisions["main"][name] == (run / name).read_bytes()
    assert Predictor.load("o/mine", clip=tiny).classes_ == tuple(classifier.classes_.tolist())


def test_the_card_says_what_the_hub_indexes(hub, run, tiny):
    record = json.loads((run / "record.json").read_text())
    beside = json.loads((run / "record.json").read_text())["results"]["test"] | {"accuracy": 50.0}
    record |= {"dataset": "dtd", "zero_shot": {"test": beside}}
    other = run.parent / "other"
    other.mkdir(exist_ok=True)
    for path in run.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / "record.json").write_text(json.dumps(record))
    config = json.loads((run / "config.json").read_text())
    config["parameters"]["clip"] = "ViT-B/16"
    (other / "config.json").write_text(json.dumps(config))
    assert command("push", other, "o/mine") == 0
    card = ModelCard(hub.models["o/mine"].revisions["main"]["README.md"].decode())
    data = card.data
    assert (data.library_name, data.pipeline_tag) == ("cocoop", "image-classification")
    assert (data.base_model, data.datasets) == ("openai/clip-vit-base-patch16", ["dtd"])
    assert data.tags == ["clip", "prompt-learning", "coop"] and data.metrics == ["accuracy", "f1"]
    of = {(result.dataset_type, result.metric_name): result.metric_value for result in data.eval_results}
    figures = record["results"]["test"]
    assert of == {("dtd", "accuracy"): figures["accuracy"] / 100, ("dtd", "macro-F1"): figures["macro_f1"] / 100}
    for line in (
        "| data | dtd |",
        "| images per class | at most 2 |",
        "| seed | 5 |",
        "| test: accuracy of zero-shot | 50.00 |",
        "cocoop predict o/mine image.jpg",
        'cocoop.PromptClassifier.from_pretrained("o/mine")',
        "## Limits",
    ):
        assert line in card.text


def test_a_card_without_figures_names_no_results(hub, run, tiny):
    PromptClassifier.load(run, tiny).push_to_hub("o/mine")
    card = ModelCard(hub.models["o/mine"].revisions["main"]["README.md"].decode())
    assert card.data.eval_results is None and card.data.base_model is None and card.data.datasets is None
    assert "No figures were kept with it" in card.text


def test_only_the_files_of_a_run_are_fetched_and_once(hub, run):
    hub.models["o/run"] = Model({"main": holding(run, **{"evil.py": b"x", "model.pt": b"x", "sub/record.json": b"x"})})
    place = found_run("o/run")
    kept = sorted({*FILES, *(path.name for path in run.glob("*.png"))})
    assert hub.fetched("o/run") == kept == sorted(path.name for path in place.iterdir())
    assert found_run("o/run") == place and hub.fetched("o/run") == kept
    hub.status = 503
    assert found_run("o/run") == place  # from the cache


def test_revisions(hub, run):
    old, new = holding(run), holding(run, **{"README.md": b"new"})
    hub.models["o/run"] = Model({"main": new, "v1": old})
    assert (found_run("o/run") / "README.md").read_bytes() == b"new"
    for place in (found_run("o/run@v1"), found_run("o/run", revision="v1"), found_run("o/run@main", revision="v1")):
        assert (place / "README.md").read_bytes() == old["README.md"]
    with pytest.raises(
        InputError, match=r"o/run@v2 is no folder here\. .*a branch, tag or commit of o/run; it has no 'v2'"
    ):
        found_run("o/run@v2")


def test_a_folder_here_goes_first(hub, run, tmp_path):
    (tmp_path / "o" / "run").mkdir(parents=True)
    assert str(found_run("o/run")) == "o/run" and hub.requests == []
    assert str(found_run("run")) == "run" and str(found_run("/o/none")) == "/o/none" and hub.requests == []


def test_a_token_and_a_cache_of_one_s_own(hub, run, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    hub.models["o/run"] = Model({"main": holding(run)}, private=True)
    with pytest.raises(InputError, match="it has none of that name, or a private one"):
        found_run("o/run")
    place = found_run("o/run", token=TOKEN, cache_dir=tmp_path / "mine")
    assert place.is_relative_to(tmp_path / "mine") and (place / "record.json").is_file()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"model.safetensors": b"x"}, r"the run of a learned prompt \(config\.json\); it has model\.safetensors"),
        ({"config.json": b"{}", "README.md": b"#"}, r"the run of a learned prompt \(prompt\.safetensors\)"),
    ],
)
def test_repositories_without_a_run(hub, files, message):
    hub.models["o/other"] = Model({"main": files})
    with pytest.raises(InputError, match=rf"o/other is no folder here\. o/other: expected a model with {message}"):
        found_run("o/other")
    assert hub.fetched("o/other") == []


def test_a_run_that_is_too_large_is_not_fetched(hub, run, monkeypatch):
    monkeypatch.setattr("cocoop.sharing.MAX_RUN", 5_000)
    hub.models["o/run"] = Model({"main": holding(run)})
    with pytest.raises(InputError, match=r"of at most 5,000 bytes; its files have \d+,\d+\. Nothing was downloaded"):
        found_run("o/run")
    assert hub.fetched("o/run") == []


def test_what_comes_from_the_hub_is_checked_like_a_folder(hub, run, tiny):
    record = json.loads((run / "record.json").read_text())
    for name, content, message in (
        ("record.json", json.dumps(record | {"seed": "x"}).encode(), "its 'seed' is 'x', not an integer or null"),
        ("prompt.safetensors", b"\x80\x02cos\nsystem\n.", "expected a safetensors file"),
        ("config.json", b"[" * 100, "config.json: expected JSON"),
    ):
        hub.models["o/bad"] = Model({"main": holding(run, **{name: content})})
        with pytest.raises(InputError, match=message):
            PromptClassifier.from_pretrained("o/bad", clip=tiny)


def test_save_pretrained(hub, run, tiny, tmp_path):
    classifier = PromptClassifier.load(run, tiny)
    assert classifier.save_pretrained(tmp_path / "a") is None and hub.requests == []
    assert classifier.save_pretrained(tmp_path / "b", repo_id="o/b", push_to_hub=True, branch="main").startswith(
        hub.url
    )
    assert PromptClassifier.from_pretrained(tmp_path / "a", clip=tiny).fit_ == classifier.fit_
    for arguments in ({"push_to_hub": True}, {"private": True}):
        with pytest.raises(InputError, match="expected a repo_id, owner/name, and push_to_hub=True"):
            classifier.save_pretrained(tmp_path / "c", **arguments)
    assert not (tmp_path / "c").exists()


def test_what_others_should_know_is_said(run):
    shared = read_run(run)
    assert told_to_others(shared) == []
    mistake = Mistake(image="/home/me/x.png", label="one", predicted="seven", confidence=0.9)
    figures = replace(shared.record.results["test"], mistakes=[mistake] * 3)
    parameters = replace(shared.config.parameters, clip="/home/me/clip")
    private = shared._replace(
        config=replace(shared.config, parameters=parameters), record=replace(shared.record, results={"test": figures})
    )
    assert [note.split(" of this")[0].split(" by their")[0] for note in told_to_others(private)] == [
        "its CLIP is /home/me/clip",
        "record.json names 3 pictures",
    ]


def command(*arguments):
    """The exit code of a command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["cocoop", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code or 0


def test_commands(hub, run, capsys):
    assert command("push", run, "o/mine", "--create-pr", "--message", "second", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"repository": "o/mine", "address": f"{hub.url}/o/mine/discussions/1"}
    assert hub.models["o/mine"].revisions["main"] == {} and hub.messages == ["second"]
    for number, image in enumerate(IMAGES[:2]):
        image.save(f"{number}.png")
    outs = []
    for place in (run, "o/mine@refs/pr/1"):
        assert command("predict", place, "0.png", "1.png", "--device", "cpu") == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1] and len(outs[0].splitlines()) == 2
    zero_shot = ("--clip", "tiny", "--classes", "one,seven", "--device", "cpu", "--json")
    outs = []
    for place in (run, "o/mine@refs/pr/1"):  # the CLIP of another machine, and other classes; not zero-shot
        assert command("predict", place, "0.png", *zero_shot) == 0
        outs.append(capsys.readouterr())
    assert outs[0] == outs[1] and "zero-shot" not in outs[0].err
    for missing in (("o/missing.png", "0.png"), ("o/mine",)):  # pictures, by the ending, and one name alone
        assert command("predict", *missing, *zero_shot) == 2
        assert f"{missing[0]}: expected picture files" in capsys.readouterr().err
    assert command("export", "o/mine@refs/pr/1", "--to", "official", "--out", "output") == 0
    assert command("evaluate", "o/mine@refs/pr/1", "photos", "--calibrate") == 2
    assert "expected a run folder here, which keeps the temperature; got one of the hub" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("repo", "options", "token", "message", "error"),
    [
        ("mine", {}, TOKEN, "mine: expected the id of a repository, owner/name", InputError),
        ("o/mine@v1", {}, TOKEN, "expected the id of a repository, owner/name", InputError),
        ("o/--mine..x", {}, TOKEN, "expected the id of a repository, owner/name", InputError),
        ("o/mine", {"branch": "none"}, TOKEN, "expected a branch that is there", InputError),
        ("o/mine", {}, "hf_other", "o/mine: expected a token that may write there; .* refused. Log in", InputError),
        ("o/mine", {}, "down", "expected http.* to take the files; got HfHubHTTPError", RunError),
    ],
)
def test_a_push_that_cannot_be(hub, run, tiny, monkeypatch, repo, options, token, message, error):
    hub.status = 500 if token == "down" else None
    with pytest.raises(error, match=message):
        PromptClassifier.load(run, tiny).push_to_hub(repo, token=token, **options)
    assert not any(model.revisions["main"] for model in hub.models.values())
