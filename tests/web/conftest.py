"""Two runs of three digits behind the application, in this process or behind a port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from fastapi.testclient import TestClient
from own_photos import write_photos

from cocoop import PromptClassifier
from cocoop.web.limits import Limits
from cocoop.web.start import address_of, listen, server_of, serving

LIMITS = Limits(upload=200_000, pixels=100_000, classes=20, seconds=60, learned=1)


class Served(NamedTuple):
    runs: list[Path]
    paths: list[Path]


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Served:
    """A CoCoOp, and a linear probe, which takes no other classes."""
    root = tmp_path_factory.mktemp("served")
    paths = sorted(write_photos(root / "photos", 12).glob("*/*"))
    labels = [path.parent.name for path in paths]
    runs = []
    for method, epochs in (("cocoop", 2), ("linear-probe", None)):
        classifier = PromptClassifier(method, shots=4, epochs=epochs, device="cpu", seed=3)
        runs.append(classifier.fit(paths, labels).save(root / method))
    return Served(runs, paths)


@pytest.fixture(scope="session")
def client(served) -> Iterator[TestClient]:
    with (
        serving(served.runs, machine={"device": "cpu"}, limits=LIMITS, threads=1) as app,
        TestClient(app, base_url="http://127.0.0.1") as client,
    ):
        yield client


@pytest.fixture(scope="session")
def address(served) -> Iterator[str]:
    """Of a server in a thread, for those that need a port."""
    with serving(served.runs, machine={"device": "cpu"}, limits=LIMITS, threads=1) as app:
        listening = listen("127.0.0.1", 0)
        where = address_of(listening)
        server = server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield where
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
