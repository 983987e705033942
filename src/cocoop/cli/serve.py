"""`cocoop serve`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cocoop.cli.common import (
    AsJson,
    Device,
    Dtype,
    MemoryBudget,
    OtherClip,
    Plugins,
    Tokenizer,
    print_json,
)
from cocoop.cli.manners import stopped_by_hand
from cocoop.errors import InputError
from cocoop.progress import note

Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN",
        help="Run folders, as `cocoop train --out` leaves them, of the hub (owner/name[@revision]), or what `cocoop "
        "export` wrote. On the page one of them is chosen.",
    ),
]
Host = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="Where to listen. Another than 127.0.0.1 opens it to others, without any login."
    ),
]
Port = Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 takes any that is free.")]
Threads = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="That torch takes. Default: as many as suit the CLIP.")
]
MaxUpload = Annotated[str, typer.Option(metavar="SIZE", help="Of one request, such as 64MB.")]
MaxPixels = Annotated[int, typer.Option(min=1, metavar="N", help="Of one picture.")]
MaxClasses = Annotated[int, typer.Option(min=2, metavar="N", help="Of a list that somebody edits.")]
MaxSeconds = Annotated[float, typer.Option(min=0.1, metavar="N", help="Until a request is answered, or refused.")]


def serve(
    runs: Runs,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    threads: Threads = None,
    max_upload: MaxUpload = "64MB",
    max_pixels: MaxPixels = 50_000_000,
    max_classes: MaxClasses = 1000,
    max_seconds: MaxSeconds = 60,
    clip: OtherClip = None,
    tokenizer: Tokenizer = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory_budget: MemoryBudget = "auto",
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Serve learned prompts: a page to drop pictures on, and a JSON API. Ctrl-C ends it.

    Prints its address. The page shows the probabilities of exact and tangent inference beside zero-shot CLIP's, takes
    other classes while you type them, writes CSV, and learns again from pictures that you label. The API is POST
    /predict, GET /health, and the rest of /openapi.json. No picture that is sent is kept.

    Examples:
      cocoop serve my-run
      cocoop serve my-run other-run --port 8080 --threads 2
      cocoop serve owner/name --max-upload 20MB --max-seconds 10
    """
    _expect_extra()
    from cocoop.web.limits import Limits
    from cocoop.web.start import address_of, is_own_machine, listen, server_of, serving

    limits = Limits(_bytes(max_upload), max_pixels, max_classes, max_seconds)
    machine: dict[str, Any] = {"device": device, "dtype": dtype, "memory_budget": memory_budget}
    with (
        listen(host, port) as listening,
        stopped_by_hand(lambda _: "note: stopped"),
        serving(runs, clip, tokenizer, machine, limits, threads, plugin or (), host) as app,
    ):
        address = address_of(listening)
        if as_json:
            print_json({"address": address, "runs": list(app.state.services.models.runs)})
        else:
            print(address)
        sys.stdout.flush()  # who reads a pipe waits for the address
        if not is_own_machine(host):
            note(f"note: {host} is open to other machines, and asks nobody for a name or password")
        note("note: serving; Ctrl-C ends it")
        server_of(app).run(sockets=[listening])


def _expect_extra() -> None:
    """`InputError` where the extra `serve` is not installed."""
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"serve: expected the packages fastapi, uvicorn and python-multipart; got {error}. Install them: pip "
            "install 'cocoop[serve]'."
        ) from error


def _bytes(size: str) -> int:
    from cocoop.clip.text.memory import parse_memory

    try:
        limit = parse_memory(size)
    except InputError:
        limit = None
    if limit is None:
        raise InputError(f"--max-upload: expected a size such as 64MB; got {size!r}.")
    return limit
