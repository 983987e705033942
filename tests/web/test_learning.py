"""Learning again from labelled pictures."""

import io
import json
import shutil
import tempfile
import threading
import time
import zipfile

import pytest
from fastapi.testclient import TestClient
from web_requests import error_of, png, png_of_size, send

from cocoop import Predictor
from cocoop.errors import RunError
from cocoop.web import trainer, training
from cocoop.web.limits import Limits
from cocoop.web.start import serving


class Connection:
    """The end of a pipe to which a training tells how it goes."""

    def __init__(self):
        self.told = []

    def send(self, told):
        self.told.append(told)


def learn_here(monkeypatch):
    """Let trainings be learned in this process, which has all that they import."""

    def learn(self, given, learning):
        connection = Connection()
        training.learn(given, connection)
        learning.epoch, learning.epochs = connection.told[-2] if len(connection.told) > 1 else (0, None)
        if connection.told[-1] is not None:
            raise RunError(connection.told[-1])

    monkeypatch.setattr(trainer.Trainer, "_learn", learn)
    monkeypatch.setattr(training, "behave", lambda threads, quiet: None)


def learned(client, paths, labels, **fields):
    sent = send(client, *paths, to="/learn", label=labels, **fields)
    assert sent.status_code == 202 and sent.json()["state"] in ("learning", "done", "failed"), sent.text
    for thread in threading.enumerate():
        if thread.name == "trainer":
            thread.join(60)
    return client.get("/learn").json()


def test_learning_again(client, served, monkeypatch):
    learn_here(monkeypatch)
    paths = [path for path in served.paths if path.stem in ("0", "1")]
    labels = [path.parent.name for path in paths]
    told = learned(client, paths, labels)
    assert (told["state"], told["pictures"], told["epoch"], told["epochs"]) == ("done", 6, 2, 2)
    assert told["learned"] == "cocoop-learned" and told["seconds"] > 0  # nobody asked before it was done
    assert client.get("/learn").json() == told
    run = client.get("/runs").json()["runs"][-1]
    assert (run["name"], run["learned"], run["ways"]) == ("cocoop-learned", True, ["exact", "tangent", "zero-shot"])

    zipped = client.get("/run.zip?run=cocoop-learned")
    before = dict(
        runs := client.app.state.services.models.runs
    )  # which a request that is answered meanwhile goes on with
    assert zipped.headers["content-disposition"] == 'attachment; filename="cocoop-learned.zip"'
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(io.BytesIO(zipped.content)).extractall(folder)
        predictor = Predictor.load(f"{folder}/cocoop-learned", device="cpu")
        expected = predictor({"image": [str(served.paths[-1])]})
    (row,) = send(client, served.paths[-1], run="cocoop-learned").json()["results"]["exact"]
    assert row["probability"] == expected["probability"][0] and row["class"] == expected["class"][0]

    # A head, and classes of which one has no picture; the oldest learned run gives way.
    names = ["three", "one", "seven", "nine"]
    told = learned(client, paths, labels, run="linear-probe", classes=json.dumps(names))
    assert told["learned"] == "linear-probe-learned" and told["error"] is None
    assert [run["name"] for run in client.get("/runs").json()["runs"][2:]] == ["linear-probe-learned"]
    assert runs == before and runs is not client.app.state.services.models.runs
    (row,) = send(client, paths[0], run="linear-probe-learned").json()["results"]["exact"]
    assert row["class"] == "one" and {one["class"] for one in row["top"]} == set(names)

    shutil.rmtree(
        client.app.state.services.models.runs["linear-probe-learned"].folder
    )  # as when it gives way meanwhile
    assert "that is still there" in error_of(client.get("/run.zip?run=linear-probe-learned"), 404)


def test_what_cannot_be_learned(client, served, monkeypatch):
    learn_here(monkeypatch)
    one, seven = (next(path for path in served.paths if path.parent.name == name) for name in ("one", "seven"))
    for labels, told in ((["one"], "1 classes"), (["one", "cat"], "among them 'cat'"), (["one", "one"], "1 classes")):
        assert told in error_of(send(client, one, seven, to="/learn", label=labels), 400)
    damaged = served.paths[0].parent.parent.parent / "damaged.png"
    damaged.write_bytes(png()[:50])
    told = learned(client, [one, damaged], ["one", "seven"])
    assert told["state"] == "failed" and told["error"].startswith("damaged.png: expected an image")
    assert client.get("/learn").json() == told
    large = served.paths[0].parent.parent.parent / "large.png"
    large.write_bytes(png_of_size(300, 300))  # 90,000 pixels of 100,000; nine of them are more than eight times that
    refused = send(client, *[large] * 9, to="/learn", label=["one", *["seven"] * 8])
    assert "at most 800,000 pixels together to learn from; got 810,000" in error_of(refused, 400)
    assert "pixels" not in told["error"] and client.delete("/learn").json()["state"] == "failed"


def test_an_unforeseen_error_is_told_in_words(client, served, monkeypatch):
    learn_here(monkeypatch)
    monkeypatch.setattr(trainer.Trainer, "_add", lambda self, folder: {}["a"])
    told = learned(client, [served.paths[0], served.paths[-1]], ["one", "three"])
    assert told["error"] == "learning: expected to end with a run; got KeyError: 'a'. Begin again."


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.3, "expected to end within 0.3 seconds"), (60, "somebody stopped it")]
)
def test_a_training_is_ended_by_the_clock_or_by_hand(served, seconds, told, own_processes):
    """In a process of its own, which is gone then."""
    with (
        serving(served.runs[:1], machine={"device": "cpu"}, limits=Limits(learning=seconds), threads=1) as app,
        TestClient(app, base_url="http://127.0.0.1") as client,
    ):
        pictures, labels = [served.paths[0], served.paths[-1]], ["one", "three"]
        assert send(client, *pictures, to="/learn", label=labels).json()["state"] == "learning"
        refused = send(client, *pictures, to="/learn", label=labels)
        assert "expected no other training at the same time" in error_of(refused, 400)
        assert client.post("/predict", files={"image": png()}).status_code == 200
        if seconds == 60:
            until = time.monotonic() + 20
            while not own_processes():
                assert time.monotonic() < until
                time.sleep(0.01)
            client.delete("/learn")
        [trainer] = [thread for thread in threading.enumerate() if thread.name == "trainer"]
        trainer.join(20)
        state = client.get("/learn").json()
        assert (state["state"], state["learned"]) == ("failed", None) and told in state["error"]
        assert not own_processes()
