"""The JSON API in this process: answers beside `Predictor`'s, limits, errors of one line, and nothing on the disk."""

import csv
import io
import json
import multiprocessing
import random
import shutil
import socket
import struct
import tempfile
import threading
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageFile

from cocoop import CLIP, Predictor
from cocoop.errors import RunError
from cocoop.serving import export, load_learned
from cocoop.web import lesson, teaching
from cocoop.web.batching import ModelThread
from cocoop.web.guard import own_names
from cocoop.web.limits import Limits
from cocoop.web.start import listen, serving


def send(client, *paths, to="/predict", **fields):
    files = [("image", (path.name, path.read_bytes())) for path in paths]
    return client.post(to, files=files, data=fields)


def png(width=8, height=8, color="red", kind="PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, kind)
    return file.getvalue()


def png_of_size(width, height) -> bytes:
    """A picture that says it is of this size, in a few bytes."""
    content = png()
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def error_of(answer, status):
    """The error, which is all there is, on one line."""
    assert answer.status_code == status, answer.text
    assert "\n" not in answer.text and list(answer.json()) == ["error"]
    assert answer.headers["content-type"] == "application/json"
    return answer.json()["error"]


@pytest.mark.parametrize("classes", [None, ["seven", "red panda", "four"]])
def test_the_answers_are_those_of_the_predictor(client, served, classes):
    paths = served.paths[::5]
    fields = {"ways": "exact,tangent,zero-shot", "top": "9"} | ({"classes": json.dumps(classes)} if classes else {})
    results = send(client, *paths, **fields).json()["results"]
    run, given = served.runs[0], {"image": list(map(str, paths))}
    names = classes or Predictor.load(run, device="cpu").classes_
    for way, predictor in {
        "exact": Predictor.load(run, classes, device="cpu", top=9),
        "tangent": Predictor.load(run, classes, device="cpu", top=9, inference="tangent"),
        "zero-shot": Predictor.zero_shot("tiny", names, device="cpu", top=9),
    }.items():
        expected = predictor(given)
        assert [row["image"] for row in results[way]] == [path.name for path in paths]
        assert [row["class"] for row in results[way]] == expected["class"]
        assert [row["top"] for row in results[way]] == expected["top"]


def test_what_comes_together_is_answered_together_and_the_same(client, served):
    """Twenty at once, of two runs and three lists of classes; equal up to the rounding of batches."""
    asked = [
        (path, {"run": name, **({"classes": json.dumps(names)} if name == "cocoop" and names else {})})
        for name in ("cocoop", "linear-probe")
        for names, path in zip([None, ["one", "six"], None, ["a", "b", "c"], None] * 2, served.paths, strict=False)
    ]
    alone = [send(client, path, **fields).json()["results"]["exact"] for path, fields in asked]
    with ThreadPoolExecutor(20) as pool:
        together = list(pool.map(lambda one: send(client, one[0], **one[1]), asked))
    for one, answer in zip(alone, together, strict=True):
        (row,), (expected,) = answer.json()["results"]["exact"], one
        assert row["class"] == expected["class"]
        assert row["probability"] == pytest.approx(expected["probability"], abs=1e-5)


def test_the_model_thread_takes_several_questions_at_a_time():
    import asyncio

    class Question:
        size = 1

    sizes, begin = [], threading.Event()

    def answer(questions):
        begin.wait(10)
        sizes.append(len(questions))
        return [ValueError("odd") if number % 2 else number for number in range(len(questions))]

    async def ask_all():
        asked = [asyncio.ensure_future(thread.ask(Question())) for _ in range(9)]
        await asyncio.sleep(0.05)
        asked[-1].cancel()  # nobody waits for it: it is not begun
        begin.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    thread = ModelThread(answer, 1)
    outcomes = asyncio.run(ask_all())
    thread.close()
    assert sum(sizes) == (8 if len(sizes) > 1 else 9) and max(sizes) > 1
    assert {type(outcome) for outcome in outcomes} >= {int, ValueError}


def test_runs_say_what_they_can(client):
    told = client.get("/runs").json()
    prompt, probe = told["runs"][:2]
    assert (prompt["name"], prompt["ways"], prompt["bound"]) == ("cocoop", ["exact", "tangent", "zero-shot"], None)
    assert probe["ways"] == ["exact", "zero-shot"] and "tangent inference" in probe["refused"]["tangent"]
    assert "weights of its own" in probe["bound"] and prompt["learns"] and probe["learns"]
    assert told["limits"] == {"upload": 200_000, "pixels": 100_000, "classes": 20, "seconds": 60, "pictures": 64}
    assert client.get("/health").json()["status"] == "ok"


def test_a_page_of_its_own_and_openapi_without_anything_from_elsewhere(client):
    page = client.get("/")
    assert "http" not in page.text.replace("http-equiv", "") and client.get("/page.js").status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    described = client.get("/openapi.json").json()
    paths = described["paths"]
    for route in (route for methods in paths.values() for route in methods.values()):
        refused = [route["responses"][code]["content"]["application/json"] for code in ("4XX", "422", "5XX")]
        assert [answer["schema"]["$ref"] for answer in refused] == ["#/components/schemas/Error"] * 3
    assert set(paths) == {"/health", "/runs", "/predict", "/csv", "/learn", "/run.zip"}
    form = paths["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"image", "run", "classes", "ways", "top"} and form["required"] == ["image"]
    assert error_of(client.get("/docs"), 404).startswith("expected an address of this server; got GET /docs")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("truncated.png", png()[:40]),
        ("empty.png", b""),
        ("text.jpg", b"no picture"),
        ("page.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("cut.jpg", png(200, 200, kind="JPEG")[:-700]),
    ],
)
def test_a_picture_that_cannot_be_read_is_a_row_with_its_error(client, name, content):
    files = [("image", (name, content)), ("image", ("good.png", png()))]
    bad, good = client.post("/predict", files=files, data={"ways": "zero-shot,exact"}).json()["results"]["exact"]
    assert bad["error"].startswith(f"{name}: expected an image that Pillow can decode") and bad["top"] == []
    assert good["error"] is None and good["class"] is not None


def test_all_ways_see_the_same_pixels(served, tmp_path):
    """Of a run that leaves photos as they are stored, zero-shot alone does, too."""
    shutil.copytree(served.runs[0], tmp_path / "run")
    for name in ("config", "record"):
        file = tmp_path / "run" / f"{name}.json"
        file.write_text(file.read_text().replace('"exif": "apply"', '"exif": "ignore"'))
    turned = Image.open(served.paths[-1]).convert("RGB")
    exif = turned.getexif()
    exif[0x0112] = 6
    content = io.BytesIO()
    turned.save(content, "PNG", exif=exif)
    upright = {"image": [served.paths[-1].read_bytes()]}
    expected = Predictor.zero_shot("tiny", ["one", "seven", "three"], device="cpu")(upright)["probability"]
    with (
        serving([tmp_path / "run"], machine={"device": "cpu"}, threads=1) as app,
        TestClient(app, base_url="http://127.0.0.1") as client,
    ):
        told = client.post("/predict", files={"image": content.getvalue()}, data={"ways": "zero-shot"}).json()
    assert [row["probability"] for row in told["results"]["zero-shot"]] == pytest.approx(expected, abs=1e-5)


def test_a_picture_of_too_many_pixels_is_not_decoded(client, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("it was decoded"))
    (row,) = client.post("/predict", files={"image": ("huge.png", png_of_size(20_000, 10_000))}).json()["results"][
        "exact"
    ]
    assert "expected an image that Pillow can decode; got DecompressionBombError" in row["error"]
    (row,) = client.post("/predict", files={"image": ("large.png", png_of_size(400, 300))}).json()["results"]["exact"]
    assert row["error"].startswith("large.png: expected a picture of at most 100,000 pixels; got 400 x 300")


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({"run": "other"}, 400, "run: expected one of cocoop, linear-probe"),
        ({"ways": "exact,fast"}, 400, "ways: expected one of exact, tangent, zero-shot; got 'fast'"),
        ({"top": "0"}, 400, "top: expected a whole number of 1 or more; got '0'"),
        ({"classes": "cat,dog"}, 400, "classes: expected a JSON list of names"),
        ({"classes": '["cat"'}, 400, "classes: expected a JSON list of names"),
        ({"classes": '["cat"]'}, 400, "classes: expected 2 to 20 names; got 1"),
        ({"classes": '["cat", 3]'}, 400, "classes: expected a JSON list of names"),
        ({"classes": '["cat", " CAT"]'}, 400, "class names: expected all different"),
        ({"classes": '["cat", "_"]'}, 400, "class names: expected words in every name"),
        (
            {"classes": json.dumps([f"name {n}" for n in range(9000)])},
            400,
            "classes: expected 2 to 20 names; got 9,000",
        ),
        ({"classes": json.dumps(["cat", "very " * 200])}, 400, "a prompt of at most 77 tokens"),
        ({"classes": "[" * 100_000}, 400, "classes: expected a JSON list of names"),
        ({"classes": '["cat", "dog"]', "run": "linear-probe"}, 400, "because every class has weights of its own"),
        ({"ways": "tangent", "run": "linear-probe"}, 400, "inference: expected a conditional prompt"),
        ({"x" * 200: "y" * 150_000, "z": "y" * 150_000}, 413, "expected at most 200,000 bytes"),
    ],
)
def test_what_is_wrong_with_the_fields(client, served, fields, status, told):
    assert told in error_of(send(client, served.paths[0], **fields), status)


def test_what_is_wrong_with_a_request(client):
    form = "multipart/form-data; boundary=x"
    begun = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    for content, kind, status, told in [
        (b"", "", 415, "expected multipart/form-data; got no Content-Type"),
        (png(), "image/png", 415, "expected multipart/form-data; got image/png"),
        (b"", "multipart/form-data", 400, "expected a whole form; got one with a fault: Missing boundary"),
        (b"nonsense", form, 400, "expected a whole form"),
        (begun + b"\r\n--x@", form, 400, "expected a whole form"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\nab\r\n--x--", form, 400, "expected a whole form"),
        (begun + png(), form, 400, "one with a fault: it ends before its last boundary"),
        (begun.replace(b'"image"', b'"file"') + b"\r\n--x--\r\n", form, 400, "expected pictures in the field image"),
        (b"--x--\r\n", form, 400, "image: expected a picture, as a file; got none"),
        (begun + b"a" * 300_000 + b"\r\n--x--\r\n", form, 413, "expected at most 200,000 bytes; got more"),
        ((begun * 70).replace(b"\r\n--x", b"\r\n\r\n--x") + b"\r\n--x--\r\n", form, 400, "Too many files"),
    ]:
        sent = client.post("/predict", content=content, headers={"content-type": kind} if kind else {})
        assert told in error_of(sent, status)
    parts = iter([begun, b"a" * 300_000, b"a"])  # without a length that could be looked at
    assert "200,000 bytes" in error_of(client.post("/predict", content=parts, headers={"content-type": form}), 413)
    assert "expected another method" in error_of(client.get("/predict"), 405)
    assert "query.run: Field required" in error_of(client.get("/run.zip"), 422)
    assert "expected a run that was learned here" in error_of(client.get("/run.zip?run=cocoop"), 404)


@pytest.mark.parametrize("seed", range(3))
def test_a_form_that_is_damaged_anywhere_is_refused_or_read(client, served, seed):
    """No letter that is lost, doubled or changed makes more than an error of one line."""
    generator, boundary = random.Random(seed), b"--x"
    head = boundary + b'\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    words = boundary + b'\r\nContent-Disposition: form-data; name="classes"\r\n\r\n["a", "b"]\r\n'
    whole = words + head + served.paths[0].read_bytes() + b"\r\n--x--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/predict", content=whole, headers=kind).status_code == 200
    for _ in range(25):
        damaged = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            place = generator.randrange(len(damaged) - 4)
            damaged[place : place + generator.randint(0, 4)] = generator.randbytes(generator.randint(0, 4))
        answer = client.post("/predict", content=bytes(damaged), headers=kind)
        assert answer.status_code in (200, 400) and "\n" not in answer.text, answer.text
        assert list(answer.json()) == (["run", "results", "inference"] if answer.status_code == 200 else ["error"])


def test_pages_of_others_cannot_make_a_browser_ask(client):
    assert "as Host; got 'evil.test'" in error_of(client.get("/runs", headers={"host": "evil.test"}), 421)
    for host in ("127.0.0.1:80", "[::1]:9", "localhost", "192.168.0.9:1"):
        assert client.get("/health", headers={"host": host}).status_code == 200
    for host in ("[::1", "", "localhost.evil.test"):
        error_of(client.get("/health", headers={"host": host}), 421)
    for origin, status in (("http://evil.test", 403), ("null", 403), ("http://127.0.0.1", 200)):
        sent = client.post("/csv", json={"rows": []}, headers={"origin": origin})
        assert sent.status_code == status
    assert own_names("Box.local") >= {"localhost", "box.local"}


def test_csv_is_that_of_cocoop_predict(client, served):
    rows = send(client, *served.paths[:2], top="2").json()["results"]["exact"]
    rows[0]["image"], rows[1]["image"] = "=1+1", '"a",\n😀'
    rows.append({"image": "bad.png", "error": "why"})
    answer = client.post("/csv", json={"rows": rows})
    assert answer.headers["content-disposition"] == 'attachment; filename="predictions.csv"'
    read = [*csv.reader(io.StringIO(answer.content.decode(), newline=""))]
    assert read[0] == ["image", "class", "probability", "error", "class_2", "probability_2"]
    assert [row[0] for row in read[1:]] == ["'=1+1", '"a",\n😀', "bad.png"]
    assert [float(row[2]) for row in read[1:3]] == [row["probability"] for row in rows[:2]]
    assert read[3] == ["bad.png", "", "", "why", "", ""]
    for wrong, told in (({"rows": [{}]}, "rows.0.image"), ([], "Input should be"), ({"rows": 3}, "valid list")):
        assert told in error_of(client.post("/csv", json=wrong), 400)
    assert "expected JSON" in error_of(client.post("/csv", content=b'{"rows": NaN}'), 400)


def test_no_picture_goes_to_the_disk(client, served, monkeypatch):
    """A form's files are spooled; ones of more than a megabyte would be rolled over into a file, if not for us."""
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_, **__: pytest.fail("a file was made"))
    monkeypatch.setattr("starlette.formparsers.MultiPartParser.spool_max_size", 10)
    assert send(client, served.paths[0]).json()["results"]["exact"][0]["error"] is None


def test_an_answer_that_takes_too_long_is_refused_and_an_unforeseen_error_told_without_a_traceback(served, capfd):
    with serving(served.runs[:1], machine={"device": "cpu"}, limits=Limits(seconds=0.2), threads=1) as app:
        client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=True)
        with client:
            desk, wait = app.state.desk, threading.Event()
            busy = threading.Thread(target=desk.thread.call, args=(wait.wait,))
            busy.start()
            assert "expected an answer within 0.2 seconds" in error_of(send(client, served.paths[0]), 503)
            wait.set()
            busy.join()
            desk.models.runs = None
            assert "an error that nobody expected" in error_of(client.get("/runs"), 500)
    told = capfd.readouterr().err
    assert "AttributeError" in told and "Traceback" not in told


class Connection:
    """The end of a pipe to which a lesson tells how it goes."""

    def __init__(self):
        self.told = []

    def send(self, told):
        self.told.append(told)


def learn_here(monkeypatch):
    """Let lessons be learned in this process, which has all that they import."""

    def learn(self, given, learning):
        connection = Connection()
        lesson.learn(given, connection)
        learning.epoch, learning.epochs = connection.told[-2] if len(connection.told) > 1 else (0, None)
        if connection.told[-1] is not None:
            raise RunError(connection.told[-1])

    monkeypatch.setattr(teaching.Teacher, "_learn", learn)
    monkeypatch.setattr(lesson, "behave", lambda threads, quiet: None)


def learned(client, paths, labels, **fields):
    sent = send(client, *paths, to="/learn", label=labels, **fields)
    assert sent.status_code == 202 and sent.json()["state"] in ("learning", "done", "failed"), sent.text
    for thread in threading.enumerate():
        if thread.name == "teacher":
            thread.join(60)
    return client.get("/learn").json()


def test_learning_again(client, served, monkeypatch):
    learn_here(monkeypatch)
    paths = [path for path in served.paths if path.stem in ("0", "1")]
    labels = [path.parent.name for path in paths]
    told = learned(client, paths, labels)
    assert (told["state"], told["pictures"], told["epoch"], told["epochs"]) == ("done", 6, 2, 2)
    assert told["learned"] == "cocoop-learned"
    run = client.get("/runs").json()["runs"][-1]
    assert (run["name"], run["learned"], run["ways"]) == ("cocoop-learned", True, ["exact", "tangent", "zero-shot"])

    zipped = client.get("/run.zip?run=cocoop-learned")
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
    (row,) = send(client, paths[0], run="linear-probe-learned").json()["results"]["exact"]
    assert row["class"] == "one" and {one["class"] for one in row["top"]} == set(names)


def test_what_cannot_be_learned(client, served, monkeypatch):
    learn_here(monkeypatch)
    one, seven = (next(path for path in served.paths if path.parent.name == name) for name in ("one", "seven"))
    for labels, told in ((["one"], "1 classes"), (["one", "cat"], "among them 'cat'"), (["one", "one"], "1 classes")):
        assert told in error_of(send(client, one, seven, to="/learn", label=labels), 400)
    damaged = served.paths[0].parent.parent.parent / "damaged.png"
    damaged.write_bytes(png()[:50])
    told = learned(client, [one, damaged], ["one", "seven"])
    assert told["state"] == "failed" and told["error"].startswith("damaged.png: expected an image")
    assert "pixels" not in told["error"] and client.delete("/learn").json()["state"] == "failed"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.3, "expected to end within 0.3 seconds"), (60, "somebody stopped it")]
)
def test_a_training_is_ended_by_the_clock_or_by_hand(served, seconds, told):
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
            assert multiprocessing.active_children() or client.get("/learn").json()["epoch"] == 0
            client.delete("/learn")
        [teacher] = [thread for thread in threading.enumerate() if thread.name == "teacher"]
        teacher.join(20)
        state = client.get("/learn").json()
        assert (state["state"], state["learned"]) == ("failed", None) and told in state["error"]
        assert multiprocessing.active_children() == []


def test_an_exported_model_says_one_thing_in_one_way_and_nothing_of_where_it_lies(served, tmp_path):
    folder = export(load_learned(served.runs[0]), "safetensors-head", tmp_path / "model").folder
    with (
        serving([folder], machine={"device": "cpu"}, threads=1) as app,
        TestClient(app, base_url="http://127.0.0.1") as client,
    ):
        (row,) = send(client, served.paths[0]).json()["results"]["exact"]
        expected = Predictor.load(folder)({"image": [str(served.paths[0])]})
        assert row["probability"] == expected["probability"][0]
        (run,) = client.get("/runs").json()["runs"]
        assert (run["ways"], run["learns"], set(run["refused"])) == (["exact"], False, {"tangent", "zero-shot"})
        for fields in ({"ways": "tangent"}, {"ways": "zero-shot"}, {"classes": '["a", "b"]'}):
            assert "an exported model" in error_of(send(client, served.paths[0], **fields), 400)
        labels = {"label": ["one", "seven"]}
        assert "an exported model" in error_of(send(client, *served.paths[:2], to="/learn", **labels), 400)
        assert str(tmp_path) not in client.get("/runs").text


def test_where_to_listen():
    with listen("127.0.0.1", 0) as taken:
        assert taken.proto == socket.IPPROTO_TCP  # without which asyncio's answers wait for 40 ms
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"a free port; got 127.0.0.1 and {port}: "):
            listen("127.0.0.1", port)
    with pytest.raises(ValueError, match="expected an address of this machine"):
        listen("203.0.113.7", 0)


def test_runs_on_one_clip_share_it(served):
    with serving(served.runs, machine={"device": "cpu"}) as app:
        clips = {id(run.clip) for run in app.state.desk.models.runs.values()}
        assert len(clips) == 1 and isinstance(next(iter(app.state.desk.models.runs.values())).clip, CLIP)
