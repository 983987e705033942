"""What is wrong with a request is an error of one line, and nothing goes to the disk."""

import asyncio
import json
import random
import socket
import tempfile
import threading

import pytest
from fastapi.testclient import TestClient
from PIL import ImageFile
from starlette.requests import ClientDisconnect, Request
from web_requests import error_of, png, png_of_size, send

from cocoop.web.guard import own_names, while_there
from cocoop.web.limits import Limits
from cocoop.web.start import listen, serving


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
    assert "run: expected a value; got none." in error_of(client.get("/run.zip"), 422)
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
    for origin, status in (("http://evil.test", 403), ("null", 403), ("http://[", 403), ("http://127.0.0.1", 200)):
        sent = client.post("/csv", json={"rows": []}, headers={"origin": origin})
        assert sent.status_code == status
    assert own_names("Box.local") >= {"localhost", "box.local"}


def test_a_table_is_small_enough_to_be_held_as_objects(client, monkeypatch):
    monkeypatch.setattr("cocoop.web.forms.TABLE", 1000)
    assert "at most 1,000 bytes; got more. Send fewer rows" in error_of(client.post("/csv", content=b" " * 1001), 413)
    assert client.post("/csv", content=b'{"rows": []}' + b" " * 900).status_code == 200


@pytest.mark.parametrize("goes", [True, False])
def test_what_nobody_waits_for_any_more_is_not_asked(goes):
    """A page that asks anew for other classes goes away from the requests before."""

    told = []

    async def receive():
        await asyncio.sleep(0 if goes else 60)
        return {"type": "http.disconnect"}

    async def answer():
        try:
            await asyncio.sleep(60 if goes else 0)
            return "an answer"
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    async def ask():
        try:
            return await while_there(Request({"type": "http"}, receive), answer())
        except ClientDisconnect:
            await asyncio.sleep(0)
            return told

    assert asyncio.run(ask()) == (["cancelled"] if goes else "an answer")


def test_no_picture_goes_to_the_disk(client, served, monkeypatch):
    """A form's files are spooled; ones of more than a megabyte would be rolled over into a file, if not for us."""
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_, **__: pytest.fail("a file was made"))
    monkeypatch.setattr("starlette.formparsers.MultiPartParser.spool_max_size", 10)
    assert send(client, served.paths[0]).json()["results"]["exact"][0]["error"] is None


def test_an_answer_that_takes_too_long_is_refused_and_an_unforeseen_error_told_without_a_traceback(served, capfd):
    with serving(served.runs[:1], machine={"device": "cpu"}, limits=Limits(seconds=0.2), threads=1) as app:
        client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=True)
        with client:
            services, wait = app.state.services, threading.Event()
            busy = threading.Thread(target=services.thread.call, args=(wait.wait,))
            busy.start()
            assert "expected an answer within 0.2 seconds" in error_of(send(client, served.paths[0]), 503)
            wait.set()
            busy.join()
            services.models.runs = None
            assert "an error that nobody expected" in error_of(client.get("/runs"), 500)
    told = capfd.readouterr().err
    assert "AttributeError" in told and "Traceback" not in told


def test_where_to_listen():
    with listen("127.0.0.1", 0) as taken:
        assert taken.proto == socket.IPPROTO_TCP  # without which asyncio's answers wait for 40 ms
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"a free port; got 127.0.0.1 and {port}: "):
            listen("127.0.0.1", port)
    with pytest.raises(ValueError, match="expected an address of this machine"):
        listen("203.0.113.7", 0)
