"""An exported classifier over HTTP: POST /predict takes a picture, GET /health says that it runs. No torch.

The picture is the body, or the field "image" of a form. The answer is {"class", "probability", "top"}, as rows of
`cocoop predict` have them, or {"error"}, one line. `?top=3` asks for more or fewer classes than five.

`app` is what uvicorn runs. Its model lies in the folder "model" beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cocoop.data.images import open_image, undecoded
from cocoop.errors import InputError
from cocoop.framing import framed
from cocoop.reading import read_json

UPLOAD = 20_000_000
"""Bytes of a request's body."""
PIXELS = 50_000_000
"""Of a picture, which says its size before it is decoded: 150 MB decoded."""
AT_ONCE = 4
"""Requests whose bodies and pictures are in memory; others wait."""
SECONDS = 30.0
"""In which a body has to arrive."""
TOP = 5

MultiPartParser.spool_max_size = UPLOAD  # forms stay in memory: the container's disk may be read-only


class Classifier:
    """The model of a folder that `cocoop export` wrote: picture files to probabilities."""

    def __init__(self, folder: Path) -> None:
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        [given] = self.session.get_inputs()
        if given.name != "pixels":
            raise SystemExit(f"model: expected one that takes pixels; got one that takes {given.name}. Export it anew.")
        self.classes: list[Any] = read_json(folder / "classes.json")
        self.how: dict[str, Any] = read_json(folder / "preprocess.json")

    def pixels(self, content: bytes) -> NDArray[np.float32]:
        """The bytes of a picture's file -> [1, 3, N, N]. `InputError` where it does not decode, or is too large."""
        try:
            with undecoded(content) as unread:
                width, height = unread.size
        except Exception:  # nearly anything, on damaged bytes: `open_image` says what
            width = height = 0
        if width * height > PIXELS:
            raise InputError(
                f"image: expected {PIXELS:,} pixels at most; got {width:,} x {height:,}. Send a smaller one."
            )
        image = open_image("image", content, self.how["exif"])
        square = framed(image, self.how["size"], self.how["resize_mode"], self.how["interpolation"])
        mean, std = (np.array(self.how[name], np.float32) for name in ("mean", "std"))
        return ((np.asarray(square, np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)[None]

    def __call__(self, content: bytes, top: int) -> dict[str, Any]:
        """The answer for a picture's file; errors of `pixels`."""
        probabilities = self.session.run(["probabilities"], {"pixels": self.pixels(content)})[0][0].astype(float)
        probabilities /= probabilities.sum()
        best = (-probabilities).argsort(kind="stable")[:top]
        rows = [{"class": self.classes[n], "probability": float(probabilities[n])} for n in best]
        return {**rows[0], "top": rows}


classifier = Classifier(Path(__file__).parent / "model")
room = anyio.CapacityLimiter(AT_ONCE)


async def health(request: Request) -> JSONResponse:
    """Whether it answers, and for how many classes."""
    return JSONResponse({"status": "ok", "classes": len(classifier.classes)})


async def predict(request: Request) -> JSONResponse:
    """The classes of one picture, best first."""
    top = request.query_params.get("top", str(TOP))
    if not top.isdecimal() or len(top) > 6 or int(top) < 1:
        raise HTTPException(400, f"top: expected a number of classes, 1 or more; got {top[:50]!r}.")
    async with room:
        with anyio.fail_after(SECONDS):
            content = await picture_of(request)
        return JSONResponse(await run_in_threadpool(classifier, content, int(top)))


async def picture_of(request: Request) -> bytes:
    """The picture of a request, read up to `UPLOAD` bytes: its body, or a form's field."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > UPLOAD:
            raise HTTPException(413, f"image: expected {UPLOAD:,} bytes at most. Send a smaller one.")
    if request.headers.get("content-type", "").startswith("multipart/form-data"):

        async def again() -> dict[str, Any]:
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        async with Request(request.scope, again).form(max_files=1, max_fields=1) as form:
            upload = form.get("image")
            if not isinstance(upload, UploadFile):
                raise HTTPException(400, "image: expected a file in the form's field of this name; got none.")
            return await upload.read()
    if not body:
        raise HTTPException(400, "image: expected a picture's file as the body, or in a form's field image; got none.")
    return bytes(body)


async def refused(request: Request, error: Exception) -> JSONResponse:
    """The one line of an error, with its status."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    if isinstance(error, InputError):
        return JSONResponse({"error": str(error)}, 400)
    if isinstance(error, TimeoutError):
        return JSONResponse({"error": f"image: expected the whole of it within {SECONDS:g} seconds."}, 408)
    return JSONResponse({"error": "the server failed; its log says how."}, 500)


app = Starlette(
    routes=[Route("/health", health), Route("/predict", predict, methods=["POST"])],
    exception_handlers={
        kind: refused for kind in (HTTPException, InputError, TimeoutError, ClientDisconnect, Exception)
    },
)
