"""A small hub on this machine, for the real huggingface_hub client in a process of its own.

It speaks what the client needs: what a revision of a model holds, its tree, and its files; and to write, a new model
and a commit of files, all of which it takes as regular ones, not by way of LFS. Written from the hub's public API
(https://huggingface.co/docs/hub/api) and the headers that the client reads.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_this_test"

_CHILD = """
import contextlib, io, json, sys
from cocoop.clip.sources import hub
from cocoop.clip.sources.tokens import load_tokenizer, default_tokenizer
from cocoop.errors import CocoopError, InputError

def refuse(name, family, config):
    if "siglip" in (family, (config or {}).get("model_cfg")):
        raise InputError(f"{name}: no siglip, {family}")

def carry_out(what, *given):
    if what == "download":
        return str(hub.download(*given, refuse))
    if what == "download_tokenizer":
        return str(hub.download_tokenizer(*given))
    return {"load_tokenizer": load_tokenizer, "default_tokenizer": default_tokenizer}[what](*given).eos_token_id

for call in json.loads(sys.argv[1]):
    try:
        print(json.dumps([carry_out(*call), None]), flush=True)
    except CocoopError as error:
        print(json.dumps([type(error).__name__, str(error)]), flush=True)
"""


@dataclass
class Model:
    """A repository: the files of each revision, and who may read it."""

    revisions: dict[str, dict[str, bytes]]
    private: bool = False
    gated: bool = False

    def commit(self, revision: str) -> str | None:
        """The commit id of a branch, tag or commit."""
        ids = {name: hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest() for name, files in self._items()}
        return ids.get(revision) or (revision if revision in ids.values() else None)

    def files(self, commit: str) -> dict[str, bytes]:
        return next(files for name, files in self._items() if self.commit(name) == commit)

    def _items(self) -> list[tuple[str, dict[str, bytes]]]:
        return list(self.revisions.items())


@dataclass
class FakeHub:
    """The server. `requests` lists "METHOD path" of all that it was asked, `tokens` what it was read with."""

    models: dict[str, Model]
    status: int | None = None
    """Answer everything with this status: a hub that is down."""
    hold: threading.Event = field(default_factory=threading.Event)
    """Ends the answers of a `slow` hub."""
    slow: bool = False
    """Answer with a beginning that goes on for 30 s: no single wait for bytes is long, the whole is."""
    requests: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)
    """Of the commits that were made."""

    def __enter__(self) -> FakeHub:
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()

    def fetched(self, repo: str) -> list[str]:
        """Names of the files of a repository whose content was sent, sorted."""
        start = f"GET /{repo}/resolve/"
        return sorted(line.removeprefix(start).split("/", 1)[1] for line in self.requests if line.startswith(start))


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path == "/api/agent-harnesses":  # what the client asks for itself, about no model
            return self._send(404)
        token = self.headers.get("Authorization")
        self.hub.requests.append(f"{self.command} {path}")
        self.hub.tokens.add(token)
        if self.hub.slow:
            return self._drip()
        if self.hub.status is not None:
            return self._send(self.hub.status)
        parts = path.removeprefix("/api/models/").strip("/").split("/")
        model = self.hub.models.get("/".join(parts[:2]))
        allowed = token == f"Bearer {TOKEN}"
        if token is not None and not allowed:
            return self._send(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        if model is None or (model.private and not allowed):
            return self._send(404 if allowed else 401, {"X-Error-Code": "RepoNotFound"})
        if path.startswith("/api/"):
            return self._describe("/".join(parts[:2]), model, parts[2:])
        if model.gated and not allowed:
            return self._send(401, {"X-Error-Code": "GatedRepo"})
        return self._content(model, parts[3:])

    do_HEAD = do_GET

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.requests.append(f"{self.command} {path}")
        if path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        if self.hub.status is not None:
            return self._send(self.hub.status)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(401, {"X-Error-Message": "Invalid username or password."})
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}"
            taken = repo in self.hub.models
            self.hub.models.setdefault(repo, Model({"main": {}}, private=asked.get("visibility") == "private"))
            return self._answer({"url": f"{self.hub.url}/{repo}"}, 409 if taken else 200)
        owner, name, action, branch = path.removeprefix("/api/models/").split("/", 3)
        model = self.hub.models[f"{owner}/{name}"]
        if branch not in model.revisions:
            return self._send(404, {"X-Error-Code": "RevisionNotFound"})
        if action == "preupload":
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            return self._answer({"files": [file | {"shouldIgnore": False} for file in files]})
        return self._commit(f"{owner}/{name}", model, branch, [json.loads(line) for line in body.splitlines()])

    def _commit(self, repo: str, model: Model, branch: str, lines: list[dict[str, Any]]) -> None:
        header, *files = (line["value"] for line in lines)
        self.hub.messages.append(header["summary"])
        new = {file["path"]: base64.b64decode(file["content"]) for file in files}
        proposed = "create_pr=1" in self.path
        place = f"refs/pr/{sum(name.startswith('refs/pr/') for name in model.revisions) + 1}" if proposed else branch
        model.revisions[place] = model.revisions[branch] | new
        commit = model.commit(place)
        answer = {"commitUrl": f"{self.hub.url}/{repo}/commit/{commit}", "commitOid": commit}
        pull = {"pullRequestUrl": f"{self.hub.url}/{repo}/discussions/1"} if proposed else {}
        self._answer(answer | pull)

    def _answer(self, content: object, status: int = 200) -> None:
        self._send(status, content=json.dumps(content).encode())

    def _describe(self, repo: str, model: Model, rest: list[str]) -> None:
        commit = model.commit("/".join(rest[1:]) or "main")
        if commit is None:
            return self._send(404, {"X-Error-Code": "RevisionNotFound"})
        files = model.files(commit)
        if rest[:1] == ["tree"]:
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in files.items()
            ]
            return self._send(200, content=json.dumps(tree).encode())
        sized = "blobs=" in self.path
        names = [{"rfilename": name} | ({"size": len(files[name])} if sized else {}) for name in files]
        return self._send(200, content=json.dumps({"id": repo, "sha": commit, "siblings": names}).encode())

    def _content(self, model: Model, rest: list[str]) -> None:
        commit = model.commit(rest[0])
        if commit is None:
            return self._send(404, {"X-Error-Code": "RevisionNotFound"})
        content = model.files(commit).get("/".join(rest[1:]))
        if content is None:
            return self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self._send(200, {"X-Repo-Commit": commit, "ETag": etag}, content)

    def _drip(self) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(150):
            if self.hub.hold.wait(0.2):
                break
            self.wfile.write(b"X-Drip: 1\r\n")

    def _send(self, status: int, headers: Mapping[str, str] | None = None, content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def ask(url: str, cache: Path, *calls: Sequence[str], **settings: str) -> list[tuple[Any, str | None]]:
    """Carry out calls, such as ("download", "owner/name"), in one new process whose hub is at `url`.

    `settings` are environment variables. Returns for each call its value and None, or the error's kind and message.
    Fails if the process writes anything to stderr.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS"))}
    own |= {"HF_ENDPOINT": url, "HF_HOME": str(cache), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    own |= {"OMP_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1"} | settings
    ran = subprocess.run(
        [sys.executable, "-c", _CHILD, json.dumps(calls)], env=own, capture_output=True, text=True, timeout=120
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    return [tuple(json.loads(line)) for line in ran.stdout.splitlines()]
