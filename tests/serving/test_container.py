"""The container of containers/onnx: what it copies and installs, and its server with nothing but that.

No image is built. What the Dockerfile copies is copied here, what it installs is linked beside it, and its command runs
in a Python that sees nothing else: no torch, and none of this package but the files that are copied.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from shutil import copy
from typing import Any, NamedTuple

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from cocoop import Predictor

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "containers/onnx"
LINES = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", (FOLDER / "Dockerfile").read_text(), flags=re.M)).splitlines()
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in LINES if line.strip()]
PINNED = dict(
    line.split("==") for line in (FOLDER / "requirements.txt").read_text().splitlines() if not line.startswith("#")
)


def said(instruction: str) -> list[str]:
    return [text for name, text in INSTRUCTIONS if name == instruction]


def copies() -> Iterator[tuple[str | None, list[str], str]]:
    """From which other context, what, and where to."""
    for text in said("COPY"):
        *words, to = shlex.split(text)
        context = words.pop(0).removeprefix("--from=") if words[0].startswith("--") else None
        yield context, words, to


def test_it_copies_files_that_are_there_and_is_given_no_others():
    own = [path for context, paths, _ in copies() if context is None for path in paths]
    assert all((ROOT / path).is_file() for path in own)
    rules = [line for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*" and sorted(rules[1:]) == sorted(f"!{path}" for path in own)
    assert [context for context, _, _ in copies() if context] == ["model"]


def test_what_it_installs_is_pinned_and_whole_and_has_no_torch():
    constraints = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert PINNED.items() <= constraints.items()  # what the tests run with
    needed, left = set(), ["numpy", "onnxruntime", "pillow", "python-multipart", "starlette", "uvicorn"]
    while left:
        name = canonicalize_name(left.pop())
        if name not in needed:
            needed.add(name)
            required = map(Requirement, distribution(name).requires or [])
            left += [one.name for one in required if one.marker is None or one.marker.evaluate({"extra": ""})]
    assert {canonicalize_name(name) for name in PINNED} == needed
    assert not needed & {"torch", "torchvision", "transformers", "cocoop"}


def test_it_is_pinned_unprivileged_and_says_how_it_is():
    [base] = said("FROM")
    assert re.fullmatch(rf"python:{sys.version_info[0]}\.{sys.version_info[1]}\.\d+-slim-\w+", base)
    assert said("USER") == ["server"] and "useradd --system" in said("RUN")[0]
    assert INSTRUCTIONS.index(("USER", "server")) > max(n for n, (name, _) in enumerate(INSTRUCTIONS) if name == "COPY")
    assert len(said("HEALTHCHECK")) == len(said("CMD")) == 1 and said("CMD")[0].startswith('["uvicorn", "server:app"')
    assert not said("ADD") and len(said("RUN")) == 1 and "--no-deps -r /app/requirements.txt" in said("RUN")[0]


class Answer(NamedTuple):
    status: int
    body: dict


class Served(NamedTuple):
    address: str
    run: dict[str, Any]
    """How a process is started in the container: its folder and environment."""

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        request = urllib.request.Request(
            self.address + path, body, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error))


@pytest.fixture(scope="module")
def image(exported, tmp_path_factory) -> Path:
    """A folder as the root of the image, with the packages in site/."""
    root = tmp_path_factory.mktemp("image")
    for context, paths, to in copies():
        (root / to.lstrip("/")).mkdir(parents=True, exist_ok=True)
        for pattern in paths:
            found = list((exported("onnx") if context else ROOT).glob(pattern))
            assert found, pattern
            for path in found:
                copy(path, root / to.lstrip("/"))
    (root / "site").mkdir()
    for name in PINNED:
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            (root / "site" / top).symlink_to(distribution(name).locate_file(top))
    return root


@pytest.fixture(scope="module")
def served(image) -> Iterator[Served]:
    """Its command, at an address that is free."""
    command = json.loads(said("CMD")[0])
    assert "0.0.0.0" in command and "8000" in command
    moved = [{"0.0.0.0": "127.0.0.1", "8000": "0"}.get(word, word) for word in command]
    assert said("WORKDIR") == ["/app"]
    run = {"cwd": image / "app", "env": {"PYTHONPATH": str(image / "site"), "PATH": os.environ["PATH"]}}
    # -P: uvicorn itself finds the server in the folder where it runs, as its own command has to.
    alone = [sys.executable, "-S", "-P", "-m"]
    with subprocess.Popen([*alone, *moved], **run, stderr=subprocess.PIPE, text=True) as process:
        try:
            log = ""
            while not (running := re.search(r"running on (http://127\.0\.0\.1:\d+)", log)):
                line = process.stderr.readline()
                assert line, log
                log += line
            yield Served(running[1], run)
        finally:
            process.terminate()
            process.stderr.read()


def files() -> dict[str, bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (40, 57, 4), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    made = {
        "transparent.png": (Image.fromarray(noise), {}),
        "turned.jpg": (Image.fromarray(noise[..., :3]), {"exif": turned}),
        "deep.png": (Image.fromarray(noise[..., 0].astype(np.uint16) * 16), {}),
        "strip.png": (Image.fromarray(np.tile(noise[:2, :, :3], (1, 10, 1))), {}),
        "palette.gif": (Image.fromarray(noise[..., :3]).quantize(16), {}),
    }
    contents = {}
    for name, (picture, options) in made.items():
        file = io.BytesIO()
        picture.save(file, {"jpg": "JPEG"}.get(name[-3:], name[-3:].upper()), **options)
        contents[name] = file.getvalue()
    return contents


def form(field: str, content: bytes) -> tuple[bytes, str]:
    head = f'--cut\r\nContent-Disposition: form-data; name="{field}"; filename="a.png"\r\n\r\n'.encode()
    return head + content + b"\r\n--cut--\r\n", "multipart/form-data; boundary=cut"


def test_it_answers_as_the_predictor(served, exported, coop):
    contents, predictor = [*files().values(), Path(coop.paths[0]).read_bytes()], Predictor.load(exported("onnx"), top=2)
    seen = set()
    for content in contents:
        status, body = served.ask("/predict?top=2", content)
        [top] = predictor({"image": [content]})["top"]
        assert (status, sorted(body)) == (200, ["class", "probability", "top"])
        assert {name: body[name] for name in ("class", "probability")} == body["top"][0]
        assert [row["class"] for row in body["top"]] == [row["class"] for row in top]
        # One runtime and the same pixels: no bit differs here; on other CPUs its threads may sum in another order.
        probabilities = [row["probability"] for row in body["top"]]
        assert probabilities == pytest.approx([row["probability"] for row in top], abs=1e-6)
        sent, kind = form("image", content)
        assert served.ask("/predict?top=2", sent, content_type=kind).body == body
        seen.add(body["probability"])
    assert len(seen) == len(contents)
    assert len(served.ask("/predict", contents[0]).body["top"]) == 3


def test_what_cannot_be_answered_is_one_line(served):
    picture = files()["palette.gif"]
    large = io.BytesIO()
    Image.new("1", (10_000, 5_001)).save(large, "PNG")
    cases = [
        (
            served.ask("/predict", b"no picture"),
            400,
            r"image: expected an image that Pillow can decode; got Unidentified",
        ),
        (served.ask("/predict", picture[:200]), 400, "image: expected an image that Pillow can decode"),
        (served.ask("/predict", b""), 400, "image: expected a picture's file as the body.*got none"),
        (served.ask("/predict", large.getvalue()), 400, "expected 50,000,000 pixels at most; got 10,000 x 5,001"),
        (served.ask("/predict", b"0" * 20_000_001), 413, "expected 20,000,000 bytes at most"),
        (served.ask("/predict", *[]), 405, "Method Not Allowed"),
        (served.ask("/predict?top=0", picture), 400, "top: expected a number of classes, 1 or more; got '0'"),
        (served.ask("/predict?top=" + "9" * 5000, picture), 400, "top: expected a number of classes"),
        (served.ask("/predict", form("file", picture)[0], content_type=form("", b"")[1]), 400, "field of this name"),
        (served.ask("/predict", b"--cut", content_type="multipart/form-data; boundary=cut"), 400, "."),
        (served.ask("/predict", b"--cut", content_type="multipart/form-data"), 400, "boundary"),
        (served.ask("/elsewhere"), 404, "Not Found"),
    ]
    for answer, status, message in cases:
        assert answer.status == status, answer
        assert list(answer.body) == ["error"] and re.search(message, answer.body["error"])
        assert "\n" not in answer.body["error"]
    assert served.ask("/predict", picture).status == 200


def test_there_is_no_torch_where_it_runs(served):
    for module, there in (("torch", False), ("transformers", False), ("cocoop.clip", False), ("cocoop.rgb", True)):
        command = [sys.executable, "-S", "-c", f"import {module}"]
        ran = subprocess.run(command, **served.run, capture_output=True)
        assert (ran.returncode == 0) == there, module


def test_its_health_is_checked_by_its_own_command(served):
    assert served.ask("/health") == (200, {"status": "ok", "classes": 3})
    code = json.loads(said("HEALTHCHECK")[0].partition("CMD ")[2])
    for address, expected in ((served.address, 0), ("http://127.0.0.1:1", 1)):
        run = [sys.executable, *code[1:-1], code[-1].replace("http://127.0.0.1:8000", address)]
        assert subprocess.run(run, **served.run, capture_output=True).returncode == expected
