"""Hub ids, through the real client against a small hub of the test's own: what is fetched, kept, and said."""

from __future__ import annotations

import errno
import json
import re
import shutil
from pathlib import Path

import pytest
from fake_hub import TOKEN, FakeHub, Model, ask

from cocoop.clip.sources import hub
from cocoop.clip.sources.load import BUNDLED
from cocoop.errors import InputError, RunError

CLIP = {"config.json": b'{"model_type": "clip"}'}
TOKENIZER = {name: (BUNDLED["tiny"] / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")}
BESIDE = {"README.md": b"#", "tf_model.h5": b"tf", "flax_model.msgpack": b"flax", "onnx/model.onnx": b"onnx"}
SAFE, PICKLE = {"model.safetensors": b"safe"}, {"pytorch_model.bin": b"pickle"}
OPEN_SAFE, OPEN_PICKLE = {"open_clip_model.safetensors": b"open"}, {"open_clip_pytorch_model.bin": b"open pickle"}


def index(*files: str) -> bytes:
    return json.dumps({"weight_map": {f"tensor{i}": name for i, name in enumerate(files)}}).encode()


SHARDS = {"a-1.safetensors": b"1", "a-2.safetensors": b"2"}
MODELS = {
    "o/both": CLIP | TOKENIZER | BESIDE | SAFE | PICKLE | OPEN_SAFE | OPEN_PICKLE | {"preprocessor_config.json": b"{}"},
    "o/pickle": CLIP | PICKLE | OPEN_SAFE,
    "o/shards": CLIP | PICKLE | SHARDS | {"model.safetensors.index.json": index(*SHARDS)},
    "o/bin-shards": CLIP | {"b-1.bin": b"1", "pytorch_model.bin.index.json": index("b-1.bin", "b-1.bin")},
    "o/open": {"open_clip_config.json": b'{"model_cfg": {}}', "config.json": b"{}"} | OPEN_SAFE | OPEN_PICKLE | SAFE,
    "o/open-only": OPEN_PICKLE,
    "o/clip-in-name": CLIP | OPEN_SAFE | BESIDE,
    "o/siglip": {"config.json": b'{"model_type": "siglip"}'} | SAFE,
    "o/evil": CLIP | SHARDS | {"model.safetensors.index.json": index("a-1.safetensors", "../evil")},
    "o/evil-glob": CLIP | SHARDS | {"model.safetensors.index.json": index("*")},
    "o/cut-index": CLIP | {"model.safetensors.index.json": b'{"weight_map"'},
    "o/lost-shard": CLIP | {"model.safetensors.index.json": index("a-1.safetensors")},
    "o/nothing": CLIP | BESIDE,
    "o/empty": {},
    "o/tokens": TOKENIZER | CLIP | SAFE,
}


def small_hub(**more: Model) -> FakeHub:
    models = {name: Model({"main": dict(files)}) for name, files in MODELS.items()}
    models["o/revised"] = Model({"main": CLIP | {"model.safetensors": b"new"}, "refs/pr/4": CLIP | PICKLE, "v1": SAFE})
    models["o/private"] = Model({"main": CLIP | SAFE}, private=True)
    models["o/gated"] = Model({"main": CLIP | SAFE}, gated=True)
    return FakeHub(models | more)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory):
    """A hub, a cache, and what came of downloading each model of the hub into it once."""
    cache = tmp_path_factory.mktemp("cache")
    with small_hub() as server:
        names = [*MODELS, "o/revised@refs/pr/4", "o/revised", "o/revised@v0", "o/private", "o/gated", "o/none"]
        results = ask(server.url, cache, *(("download", name) for name in names))
        yield server, cache, dict(zip(names, results, strict=True))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("o/both", [*CLIP, "model.safetensors", "preprocessor_config.json", *TOKENIZER]),
        ("o/pickle", [*CLIP, "pytorch_model.bin"]),
        ("o/shards", [*SHARDS, *CLIP, "model.safetensors.index.json"]),
        ("o/bin-shards", ["b-1.bin", *CLIP, "pytorch_model.bin.index.json"]),
        ("o/open", ["config.json", "open_clip_config.json", "open_clip_model.safetensors"]),
        ("o/open-only", ["open_clip_pytorch_model.bin"]),
        ("o/clip-in-name", [*CLIP, "open_clip_model.safetensors"]),
    ],
)
def test_one_set_of_weights_and_what_describes_it_is_fetched(filled, name, files):
    server, _, results = filled
    folder, error = results[name]
    assert error is None
    assert server.fetched(name) == sorted(files)
    assert {path.name: path.read_bytes() for path in Path(folder).iterdir()} == {
        file: MODELS[name][file] for file in files
    }


def test_a_revision(filled):
    server, _, results = filled
    folders = {name: Path(results[name][0]) for name in ("o/revised@refs/pr/4", "o/revised")}
    assert (folders["o/revised@refs/pr/4"] / "pytorch_model.bin").is_file()
    assert (folders["o/revised"] / "model.safetensors").read_bytes() == b"new"
    assert folders["o/revised"].name == server.models["o/revised"].commit("main")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("o/revised@v0", "o/revised@v0: expected a branch, tag or commit of o/revised; it has no 'v0'"),
        ("o/private", "it has none of that name, or a private one.*hf auth login.*HF_TOKEN"),
        ("o/none", "it has none of that name, or a private one"),
        ("o/gated", "it is gated. Accept its terms on http://127.0.0.1:[0-9]+/o/gated, then log in"),
        ("o/siglip", "o/siglip: no siglip"),
        ("o/evil", r"model\.safetensors\.index\.json to name the files beside it .*got '\.\./evil'"),
        ("o/evil-glob", r"got '\*'"),
        ("o/cut-index", "damaged file"),
        ("o/lost-shard", r"the files that model\.safetensors\.index\.json names \(a-1\.safetensors\); it has config"),
        ("o/nothing", r"model\.safetensors.*open_clip_pytorch_model\.bin.*; it has README\.md, config\.json, flax"),
        ("o/empty", "it has no files"),
    ],
)
def test_what_cannot_be_had_says_why(filled, name, message):
    server, _, results = filled
    kind, error = results[name]
    assert kind == "InputError"
    assert "\n" not in error
    assert re.search(message, error)
    assert not {*SHARDS, *SAFE, *PICKLE} & set(server.fetched(name))


def test_a_token_is_sent_and_a_wrong_one_is_named(filled, tmp_path):
    server, _, _ = filled
    calls = [("download", "o/private"), ("download", "o/gated")]
    server.tokens.clear()
    for folder, error in ask(server.url, tmp_path, *calls, HF_TOKEN=TOKEN):
        assert error is None
        assert (Path(folder) / "model.safetensors").is_file()
    assert server.tokens == {f"Bearer {TOKEN}"}
    [(kind, error)] = ask(server.url, tmp_path / "other", ("download", "o/both"), HF_TOKEN="hf_wrong")
    assert kind == "InputError"
    assert "it refused yours" in error


GOOD = ["o/both", "o/shards", "o/open", "o/open-only", "o/revised@refs/pr/4", "o/revised"]


def test_the_second_time_nothing_is_fetched_but_what_is_newer(filled, tmp_path):
    server, cache, results = filled
    before, server.requests[:] = list(server.requests), []
    again = ask(server.url, cache, *(("download", name) for name in GOOD))
    assert again == [results[name] for name in GOOD]
    assert [line for line in server.requests if "/resolve/" in line] == []
    assert len(server.requests) == len(GOOD)
    server.requests[:] = before

    cache = shutil.copytree(cache, tmp_path / "cache", symlinks=True)
    newer = Model({"main": MODELS["o/both"] | {"model.safetensors": b"better"}})
    with FakeHub({"o/both": newer}) as changed:
        [(folder, error)] = ask(changed.url, cache, ("download", "o/both"))
        assert error is None
        assert (Path(folder) / "model.safetensors").read_bytes() == b"better"
        assert changed.fetched("o/both") == ["model.safetensors"]


class Moving(Model):
    """Its branch "main" has a new commit as soon as it has been asked about once."""

    asked = 0

    def commit(self, revision: str) -> str | None:
        if revision == "main":
            self.asked += 1
            revision = "old" if self.asked == 1 else "new"
        return super().commit(revision)


def test_a_branch_that_moves_during_a_download(tmp_path):
    """The list of files and all that is fetched are of one commit; the next load has the new one."""
    moving = Moving({"old": CLIP | SAFE, "new": CLIP | PICKLE})
    with small_hub(**{"o/moving": moving}) as server:
        [(old, error)] = ask(server.url, tmp_path, ("download", "o/moving"))
        assert (error, Path(old).name) == (None, moving.commit("old"))
        assert {path.name for path in Path(old).iterdir()} == {*CLIP, *SAFE}
        assert ask(server.url, tmp_path, ("download", "o/moving"), HF_HUB_OFFLINE="1") == [(old, None)]
        [(new, error)] = ask(server.url, tmp_path, ("download", "o/moving"))
        assert (error, Path(new).name) == (None, moving.commit("new"))
        assert ask(server.url, tmp_path, ("download", "o/moving"), HF_HUB_OFFLINE="1") == [(new, None)]


def no_hub() -> str:
    """Where nothing listens: the port of a server that is gone."""
    with FakeHub({}) as server:
        return server.url


def test_offline_and_gone_the_cache_serves(filled):
    server, cache, results = filled
    asked = len(server.requests)
    calls = [
        *(("download", name) for name in GOOD),
        ("load_tokenizer", "o/tokens"),
        ("download", "o/not-there@v2"),
        ("default_tokenizer", "ViT-B/16", "my/ViT-B-16.pt"),
    ]
    offline = ask(server.url, cache, *calls, HF_HUB_OFFLINE="1")
    gone = ask(no_hub(), cache, *calls)
    for *served, tokenizer, _, _ in (offline, gone):
        assert served == [results[name] for name in GOOD]
        assert tokenizer == (2124, None)
    assert len(server.requests) == asked
    for (_, (kind, absent), _), said in (
        (offline[-3:], "because HF_HUB_OFFLINE is set; got no copy there"),
        (gone[-3:], "ConnectError.*no copy there.*hf download o/not-there --revision v2 --local-dir"),
    ):
        assert kind == "InputError"
        assert re.search(f"o/not-there@v2: expected .*{said}", absent)
    for kind, no_vocabulary in (offline[-1], gone[-1]):
        assert kind == "InputError"
        assert re.fullmatch(
            r"my/ViT-B-16\.pt: expected a tokenizer, because this file has no vocabulary; that of ViT-B/16 belongs to "
            r"it.*`hf download openai/clip-vit-base-patch16 tokenizer\.json tokenizer_config\.json --local-dir DIR`.*"
            r"--tokenizer DIR \(tokenizer=DIR in Python\)\.",
            no_vocabulary,
        )


def test_offline_an_incomplete_copy_is_not_taken(filled, tmp_path):
    server, cache, results = filled
    cache = shutil.copytree(cache, tmp_path / "cache", symlinks=True)
    for name, lost in (("o/shards", "a-2.safetensors"), ("o/both", "model.safetensors")):
        inside = Path(results[name][0]).relative_to(filled[1])
        (cache / inside / lost).unlink()
    got = ask(server.url, cache, ("download", "o/shards"), ("download", "o/both"), HF_HUB_OFFLINE="1")
    assert [kind for kind, _ in got] == ["InputError"] * 2
    assert "got no a-2.safetensors there" in got[0][1]
    assert "got no model.safetensors or " in got[1][1]
    mended = ask(server.url, cache, ("download", "o/shards"), ("download", "o/both"))
    assert [error for _, error in mended] == [None] * 2
    assert {path.name for path in Path(mended[0][0]).iterdir()} >= {*SHARDS}


def test_a_hub_that_is_down_is_asked_once(filled):
    _, cache, results = filled
    with FakeHub({}, status=503) as down:
        here, gone = ask(down.url, cache, ("download", "o/both"), ("download", "o/not-there"))
        assert here == results["o/both"]
        assert "503" in gone[1]
        assert len(down.requests) == 2


def test_a_hub_that_never_ends_its_answer_is_asked_once(filled):
    _, cache, results = filled
    with FakeHub({}, slow=True) as slow:
        calls = ("download", "o/both"), ("download", "o/not-there")
        here, gone = ask(slow.url, cache, *calls, HF_HUB_ETAG_TIMEOUT="1")
        assert here == results["o/both"]
        assert "TimeoutError: no answer within 1 s (HF_HUB_ETAG_TIMEOUT" in gone[1]
        assert len(slow.requests) == 2


def test_a_tokenizer_alone_is_fetched_without_weights(filled, tmp_path):
    server, _, _ = filled
    server.requests[:] = [line for line in server.requests if "/o/tokens/" not in line]
    [(eos, error), (folder, _)] = ask(
        server.url, tmp_path, ("load_tokenizer", "o/tokens"), ("download_tokenizer", "o/tokens")
    )
    assert (eos, error) == (2124, None)
    assert server.fetched("o/tokens") == sorted({*TOKENIZER, *CLIP})
    assert {path.name for path in Path(folder).iterdir()} == {*TOKENIZER, *CLIP}


@pytest.mark.parametrize("name", ["openai/clip-vit-base-patch16", "o/n@main", "o/n@refs/pr/4", "o/n_1.x@v1.0", "a/b"])
def test_hub_ids(name):
    assert hub.is_hub_id(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "tiny", "a/b/c", "./a", "../a", "/a/b", "~/a", "a/", "/b", "a/.b", "a b/c", "a\\b/c", "a/b@", "a/b@../x",
        "a/b@x/../y", "a/b@/etc/x", "a/b@x y", "a/b@x//y", "a/b@-x", "a/b@x*", "a@b", "é/b", "a/b\n", "a/b@x\n",
    ],
)  # fmt: skip
def test_other_names_are_no_hub_ids(name):
    assert not hub.is_hub_id(name)
    with pytest.raises(InputError, match=r"expected a hub id.*ViT-B/16"):
        hub.download_tokenizer(name)


def test_a_name_that_only_the_client_refuses():
    with pytest.raises(InputError, match="a--b/c: expected a hub id"):
        hub.download_tokenizer("a--b/c")


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), RunError, "the disk is full.*HF_HUB_CACHE"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), RunError, "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/cache"), RunError, "Permission denied at /cache"),
        (
            ConnectionResetError("reset by peer"),
            InputError,
            r"ConnectionResetError: reset by peer, and no config\.json",
        ),
    ],
)
def test_a_download_that_fails(monkeypatch, tmp_path, fault, kind, message):
    """The disk and the wire cannot be broken at will here, so the client is replaced."""
    import huggingface_hub

    class Answer:
        sha = "0" * 40
        siblings = (type("File", (), {"rfilename": "config.json", "size": None}),)

    def fail(*_, local_files_only=False, **__):
        raise huggingface_hub.errors.LocalEntryNotFoundError("none") if local_files_only else fault

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: Answer)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(kind, match=message):
        hub.download_tokenizer("o/n")
