"""`cocoop serve` with many people at once, and with uploads that are none: `python benchmarks/serve.py`.

A server in a process of its own, on the bundled CLIP and a CoCoOp of ten digits that is learned first. Clients are
threads of this process on the same machine, each with one connection. Memory is the server's resident memory, which
Linux tells; the first malformed uploads may leave buffers behind that later ones use again, so they come twice.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from cocoop import PromptClassifier, read_dataset
from cocoop.bench.memory import resident_mb
from cocoop.reports import text_table

_LARGE = 20_000, 10_000
"""200 megapixels."""


class Sent(NamedTuple):
    """A request's body and its type."""

    body: bytes
    kind: str


class Got(NamedTuple):
    """What came back, after how many seconds."""

    status: int
    body: bytes
    seconds: float


class Server(NamedTuple):
    """A server under way."""

    port: int
    pid: int

    @property
    def megabytes(self) -> float:
        """Its resident memory."""
        return resident_mb(self.pid)

    def connection(self) -> http.client.HTTPConnection:
        """A new one."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)


def form(files: Sequence[tuple[str, bytes]], **fields: str) -> Sent:
    """A form of pictures, and other fields."""
    boundary = uuid.uuid4().hex
    heads = [(f'name="image"; filename="{name}"', content) for name, content in files]
    heads += [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts = [f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + c for head, c in heads]
    return Sent(b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}")


def asked(connection: http.client.HTTPConnection, sent: Sent, path: str = "/predict") -> Got:
    """Send it, and read all that comes."""
    began = time.perf_counter()
    connection.request("POST", path, sent.body, {"Content-Type": sent.kind})
    answer = connection.getresponse()
    return Got(answer.status, answer.read(), time.perf_counter() - began)


@contextmanager
def served(run: Path, threads: int) -> Iterator[Server]:
    """`cocoop serve` of a run, until the context ends."""
    command = [sys.executable, "-m", "cocoop", "serve", str(run), "--port", "0", "--json", "--device", "cpu"]
    process = subprocess.Popen([*command, "--threads", str(threads)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    address = json.loads("".join(line for line in _document(lines)))["address"]
    try:
        yield Server(int(address.rstrip("/").rpartition(":")[2]), process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        print(f"Ended by Ctrl-C with exit code {process.wait(60)}.")


def _document(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if line == "}\n":
            return


def many(server: Server, pictures: Sequence[bytes], requests: int, clients: int, ways: str) -> list[Got]:
    """So many requests of one picture each, from so many clients at once."""
    got: list[Got] = []

    def work(client: int) -> None:
        connection = server.connection()
        for number in range(client, requests, clients):
            got.append(asked(connection, form([("digit.png", pictures[number % len(pictures)])], ways=ways)))
        connection.close()

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def is_right(got: Got, errors: bool) -> bool:
    """Whether it is one line of JSON; with an error in it, or with none."""
    if b"\n" in got.body:
        return False
    told = json.loads(got.body)
    if got.status != 200:
        return errors and list(told) == ["error"]
    return all((row["error"] is not None) == errors for rows in told["results"].values() for row in rows)


def _file(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def malformed(good: bytes) -> dict[str, Callable[[], Sent]]:
    """What is wrong with an upload -> what makes one."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8))
    jpeg, huge = _file(noise, "JPEG"), _file(Image.new("1", _LARGE), "PNG")
    over = _file(Image.new("1", (10_000, 6_000)), "PNG")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "a")
    names = json.dumps([f"class number {number}" for number in range(50_000)])
    whole = form([("a.png", good)])
    return {
        "truncated JPEG": lambda: form([("a.jpg", jpeg[: len(jpeg) // 2])]),
        "truncated PNG": lambda: form([("a.png", good[:60])]),
        "200 megapixels": lambda: form([("a.png", huge)]),
        "60 megapixels": lambda: form([("a.png", over)]),
        "text": lambda: form([("a.jpg", b"no picture at all")]),
        "a zip archive": lambda: form([("a.png", archive.getvalue())]),
        "empty file": lambda: form([("a.png", b"")]),
        "no picture": lambda: form([], classes='["a", "b"]'),
        "a picture as it is, no form": lambda: Sent(good, "image/png"),
        "JSON instead of a form": lambda: Sent(b'{"image": 1}', "application/json"),
        "a form that is cut off": lambda: Sent(whole.body[:-20], whole.kind),
        "another boundary": lambda: Sent(whole.body, "multipart/form-data; boundary=other"),
        "50,000 classes": lambda: form([("a.png", good)], classes=names),
        "2,000,000 letters of a class": lambda: form([("a.png", good)], classes=json.dumps(["a", "b" * 2_000_000])),
        "classes that are no JSON": lambda: form([("a.png", good)], classes="[[[["),
        "a class that is too long": lambda: form([("a.png", good)], classes=json.dumps(["a", "b " * 300])),
        "66 pictures": lambda: form([("a.png", good)] * 66),
        "an unknown run": lambda: form([("a.png", good)], run="../../etc"),
        "66 MB": lambda: form([("a.png", b"\0" * 66_000_000)]),
        "noise": lambda: form([("a.webp", np.random.default_rng(1).bytes(300_000))]),
    }


def _learned(folder: Path) -> tuple[Path, list[bytes]]:
    """A run of ten digits, and the files of pictures of them."""
    dataset = read_dataset("digits", folder / "data")
    train = dataset.train
    classifier = PromptClassifier(shots=4, epochs=2, device="cpu")
    classifier.fit([one.path for one in train], [one.label for one in train], dataset.class_names)
    return classifier.save(folder / "digits"), [Path(one.path).read_bytes() for one in dataset.test[:100]]


def _row(name: str, clients: int, got: Sequence[Got], seconds: float) -> list[str]:
    times = np.array([one.seconds for one in got]) * 1000
    wrong = sum(one.status != 200 or not is_right(one, errors=False) for one in got)
    percentiles = (f"{value:,.0f}" for value in [*np.percentile(times, [50, 95, 99]), times.max()])
    return [name, str(clients), f"{len(got):,}", str(wrong), f"{len(got) / seconds:,.0f}", *percentiles]


def main() -> None:
    """Print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--malformed", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1, help="of torch in the server")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        run, pictures = _learned(Path(folder))
        with served(run, options.threads) as server:
            print(f"{os.cpu_count()} CPUs, load before {os.getloadavg()[0]:.1f}. Milliseconds of a request.\n")
            many(server, pictures, 100, options.clients, "exact,tangent,zero-shot")
            memory = [("after 100 requests", server.megabytes)]
            rows = []
            for ways, clients, requests in (
                ("exact", 1, options.requests // 10),
                ("exact", options.clients, options.requests),
                ("exact,tangent,zero-shot", options.clients, options.requests),
            ):
                began = time.perf_counter()
                got = many(server, pictures, requests, clients, ways)
                rows.append(_row(ways, clients, got, time.perf_counter() - began))
                memory.append((f"after {requests:,} more, {ways}", server.megabytes))
            header = ["ways", "clients", "requests", "errors", "requests a second", "median", "95 %", "99 %", "longest"]
            print(text_table(header, rows))
            large = _file(Image.new("L", (7000, 7000)), "PNG")  # 49 megapixels, just below what is refused
            assert all(
                one.status == 200 for one in many(server, [large], 2 * options.clients, options.clients, "exact")
            )
            memory.append((f"after {2 * options.clients} pictures of 49 megapixels", server.megabytes))
            for _ in range(2):
                _try_malformed(server, options.malformed, pictures[0])
                memory.append((f"after {options.malformed} malformed uploads", server.megabytes))
            got = many(server, pictures, 100, options.clients, "exact")
            print(f"\nAfterwards {sum(is_right(one, errors=False) for one in got)} of 100 requests are answered.\n")
            print(text_table(["memory of the server", "MB"], [[name, f"{mb:,.0f}"] for name, mb in memory]))


def _try_malformed(server: Server, count: int, good: bytes) -> None:
    kinds = malformed(good)
    statuses: Counter[int] = Counter()
    for number in range(count):
        name = [*kinds][number % len(kinds)]
        with closing(server.connection()) as connection:
            got = asked(connection, kinds[name]())
        assert is_right(got, errors=True), (name, got.status, got.body[:200])
        statuses[got.status] += 1
    told = ", ".join(f"{number} with status {status}" for status, number in sorted(statuses.items()))
    print(f"\n{count} malformed uploads of {len(kinds)} kinds: {told}; each one line of JSON that says why.")


if __name__ == "__main__":
    main()
