"""`cocoop serve` from its start to Ctrl-C, and what it refuses."""

from __future__ import annotations

import builtins
import json
import os
import signal
import threading
import time
import urllib.request

import pytest

from cocoop.web.start import listen


def free_port() -> int:
    with listen("127.0.0.1", 0) as listening:
        return listening.getsockname()[1]


def ask_and_end(port, how, answers):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        try:
            answers.append(json.load(opener.open(f"http://127.0.0.1:{port}/health", timeout=30)))
            break
        except OSError:
            time.sleep(0.05)
    os.kill(os.getpid(), how)


@pytest.mark.parametrize(
    ("how", "code", "options", "host"),
    [(signal.SIGINT, 130, [], "127.0.0.1"), (signal.SIGTERM, 143, ["--json"], "0.0.0.0")],
)
def test_it_serves_until_it_is_ended(cocoop, trained, how, code, options, host):
    port, answers, before = free_port(), [], set(threading.enumerate())
    asking = threading.Thread(target=ask_and_end, args=(port, how, answers))
    asking.start()
    ran = cocoop("serve", "run", "--port", port, "--host", host, "--threads", 1, "--device", "cpu", *options)
    asking.join()
    assert (ran.code, [answer["status"] for answer in answers]) == (code, ["ok"])
    address = f"http://127.0.0.1:{port}/"
    assert (json.loads(ran.out) == {"address": address, "runs": ["run"]}) if options else ran.out == f"{address}\n"
    opened = [f"note: {host} is open to other machines, and asks nobody for a name or password"]
    assert ran.err.splitlines() == [*(opened * bool(options)), "note: serving; Ctrl-C ends it", "note: stopped"]
    assert [thread for thread in threading.enumerate() if thread.name == "models" and thread not in before] == []


def test_what_it_refuses(cocoop, trained, monkeypatch):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        for arguments, told in [
            (["nowhere", "--port", 0], "nowhere: expected a run folder"),
            (["run", "--port", port], f"expected an address of this machine and a free port; got 127.0.0.1 and {port}"),
            (["run", "--max-upload", "much"], "--max-upload: expected a size such as 64MB; got 'much'"),
            (["run", "--max-upload", "auto"], "--max-upload: expected a size such as 64MB; got 'auto'"),
        ]:
            ran = cocoop("serve", *arguments)
            assert (ran.code, ran.out) == (2, "") and told in ran.err, ran.err
    imported = builtins.__import__

    def without_fastapi(name, *others, **more):
        if name == "fastapi":
            raise ModuleNotFoundError("No module named 'fastapi'", name="fastapi")
        return imported(name, *others, **more)

    monkeypatch.setattr(builtins, "__import__", without_fastapi)
    ran = cocoop("serve", "run")
    assert ran.code == 2
    assert ran.err.endswith("got No module named 'fastapi'. Install them: pip install 'cocoop[serve]'.\n")
