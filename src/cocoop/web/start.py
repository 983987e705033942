"""From runs to a server that listens, until somebody ends it."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from cocoop.errors import InputError, plainly
from cocoop.methods.plugins import load_plugins
from cocoop.training import threads_for
from cocoop.web.app import Services, make_app
from cocoop.web.batching import ModelThread
from cocoop.web.limits import Budgets, Limits
from cocoop.web.models import Models
from cocoop.web.trainer import Trainer

_WAITING = 128  # connections that nobody has taken yet
_PATIENCE = 3  # seconds in which requests may end after Ctrl-C
_IDLE = 20  # seconds that a connection may stay open without a request


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any that is free. `InputError` where there is none such."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # asyncio lets answers go at once (TCP_NODELAY) where a socket says its protocol; else they wait 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if os.name == "posix":  # elsewhere it would let two programs have one port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(_WAITING)
        except BaseException:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"--host, --port: expected an address of this machine and a free port; got {host} and {port}: "
            f"{plainly(error)}. Choose another, or --port 0 for any."
        ) from error
    return listening


def is_own_machine(host: str) -> bool:
    """Whether nobody on another machine reaches this address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(listening: socket.socket) -> str:
    """What to type into a browser."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


@contextmanager
def serving(
    runs: Sequence[Path],
    clip: str | None = None,
    tokenizer: str | None = None,
    machine: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    threads: int | None = None,
    plugins: Sequence[Path] = (),
    host: str = "127.0.0.1",
) -> Iterator[FastAPI]:
    """The application with these runs loaded, in a context that ends with what was learned deleted.

    Args:
        runs: folders, or names of the hub.
        clip: what `CLIP.load` takes, if the runs' CLIPs lie elsewhere now.
        tokenizer: the same for theirs.
        machine: device, dtype and memory_budget, as `CLIP.load` takes them.
        limits: of requests; None is `Limits()`.
        threads: that torch takes; None is as many as suit the CLIP.
        plugins: files that register methods.
        host: where it will listen.

    Raises:
        InputError: as `Predictor.load`.
    """
    limits = Limits() if limits is None else limits
    load_plugins(plugins)
    models = Models(clip, tokenizer, machine or {}, limits.classes)
    for run in runs:
        models.add(run)
    threads = threads or max(threads_for(run.clip_name) for run in models.runs.values())
    thread = ModelThread(models.answer, threads)
    trainer = Trainer(models, thread.call, limits.learning, limits.learned, threads, plugins)
    try:
        yield make_app(Services(models, thread, trainer, limits, Budgets(limits)), host)
    finally:
        trainer.close()
        thread.close()


def server_of(app: FastAPI) -> uvicorn.Server:
    """What serves it until Ctrl-C or SIGTERM, which is raised again when requests have ended."""
    config = uvicorn.Config(
        app,
        log_level="critical",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_PATIENCE,
        server_header=False,
    )
    return uvicorn.Server(config)
