"""Hub id -> the folder of its files in the cache, through huggingface_hub and with its settings.

Those are HF_HUB_CACHE or HF_HOME, HF_TOKEN or the login, HF_ENDPOINT, HF_HUB_OFFLINE. Each load asks the hub once which
commit the revision is now, and what it holds. What the cache lacks of that commit is fetched, and nothing else; the
client lists it for this once more. Where the hub does not answer, the cache serves, as it does in the client itself.
"""

from __future__ import annotations

import os
import queue
import re
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cocoop.atomic import write_whole
from cocoop.clip.sources.folder import (
    CONFIG,
    HUGGING_FACE_WEIGHTS,
    OPEN_CLIP_CONFIG,
    OPEN_CLIP_WEIGHTS,
    PREPROCESSOR_CONFIG,
    PROCESSOR_CONFIG,
    settings_in,
)
from cocoop.clip.sources.hub_errors import hub_error
from cocoop.errors import CocoopError, InputError

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

CheckFamily = Callable[[str, object, Mapping[str, Any] | None], None]

SHORT_NAMES: dict[str, str] = {
    "ViT-B/32": "openai/clip-vit-base-patch32",
    "ViT-B/16": "openai/clip-vit-base-patch16",
    "ViT-L/14": "openai/clip-vit-large-patch14",
    "ViT-L/14@336px": "openai/clip-vit-large-patch14-336",
    "RN50": "timm/resnet50_clip.openai",
    "RN101": "timm/resnet101_clip.openai",
    "RN50x4": "timm/resnet50x4_clip.openai",
    "RN50x16": "timm/resnet50x16_clip.openai",
    "RN50x64": "timm/resnet50x64_clip.openai",
}
"""OpenAI's names for its models -> hub ids that hold their weights."""

_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
_INDEX = ".index.json"

# Of a revision, what no name of a branch or tag has and what would lead out of the cache's folder of them.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@(?![./-])(?!.*(\.\.|//))[^\s~^:?*\[\\]+)?", re.ASCII)
_PLAIN_FILE = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)

# A load should not hang on a network that swallows packets. HF_HUB_ETAG_TIMEOUT, the client's own setting, goes first.
_PATIENCE = 5.0


class Access(NamedTuple):
    """How a repository is read: with which token, and kept in which folder; None is the client's own setting."""

    token: str | bool | None = None
    cache_dir: str | os.PathLike[str] | None = None


_AS_SET = Access()


def is_hub_id(name: str) -> bool:
    """Whether `name` is written as a hub id: "owner/name" or "owner/name@revision" (a branch, tag or commit)."""
    return _HUB_ID.fullmatch(name) is not None


def full_id(name: str) -> str:
    """The hub id that a short name stands for, with its revision if it has one; any other name as it is."""
    short = max((short for short in SHORT_NAMES if name == short or name.startswith(f"{short}@")), key=len, default="")
    return SHORT_NAMES[short] + name.removeprefix(short) if short else name


def download(hub_id: str, check_family: CheckFamily) -> Path:
    """The folder with a model's descriptions, tokenizer and one set of weights, after fetching what the cache lacks.

    Where config.json states a "model_type", the weights are Hugging Face's (safetensors before pickles, one file
    before shards), or open_clip's if there are none; otherwise open_clip's.

    Args:
        hub_id: "owner/name", "owner/name@revision" or a key of `SHORT_NAMES`.
        check_family: called before weights are fetched; raises if such models cannot be read. Takes `hub_id`, the
            family (the "model_type" of Hugging Face's weights, or "open_clip") and what its config file states.

    Raises:
        InputError: not a hub id; no such repository or revision; one that may not be read; no CLIP weights in it; or
            the hub does not answer and the cache has no complete copy.
        RunError: the cache cannot be written.
    """
    repository = _find(hub_id)
    small = repository.has([CONFIG, OPEN_CLIP_CONFIG, PREPROCESSOR_CONFIG, PROCESSOR_CONFIG, *_TOKENIZER])
    folder = repository.fetch(small) if small else None
    config, open_clip = (settings_in(folder, name) if folder else None for name in (CONFIG, OPEN_CLIP_CONFIG))
    family: object = (config or {}).get("model_type")
    kinds = (*HUGGING_FACE_WEIGHTS, *OPEN_CLIP_WEIGHTS) if family else OPEN_CLIP_WEIGHTS
    weights = next(iter(repository.has(kinds)), None)
    if weights in OPEN_CLIP_WEIGHTS:
        check_family(repository.hub_id, "open_clip", open_clip)
    elif family:
        check_family(repository.hub_id, family, config)
    if weights is None:
        raise repository.lacks(" or ".join(kinds), "the weights of a CLIP")
    folder = repository.fetch([weights])
    if weights.endswith(_INDEX):
        repository.fetch(_shards(repository, folder, weights))
    return folder


def download_tokenizer(hub_id: str) -> Path:
    """The folder with a model's tokenizer files and config.json, as far as it has them. Errors as in `download`."""
    repository = _find(hub_id)
    names = repository.has([CONFIG, *_TOKENIZER])
    if not names:
        raise repository.lacks(" or ".join(_TOKENIZER), "a tokenizer")
    return repository.fetch(names)


def download_files(
    hub_id: str, required: Collection[str], others: Collection[str], most: int, what: str, access: Access = _AS_SET
) -> Path:
    """The folder with these files of a repository, after fetching what the cache lacks.

    Args:
        hub_id: "owner/name" or "owner/name@revision".
        required: names of files that it must have.
        others: names of files that are taken where it has them.
        most: bytes that all of them may have together.
        what: they are, in an error.
        access: the token, and the folder where files are kept.

    Raises:
        InputError: as `download`; a required file is missing; or they are larger than `most`.
        RunError: the cache cannot be written.
    """
    repository = _find(hub_id, access)
    for name in required:
        if name not in repository.files:
            raise repository.lacks(name, what)
    names = repository.has([*required, *others])
    size = sum(repository.sizes.get(name, 0) for name in names)
    if size > most:
        raise InputError(
            f"{hub_id}: expected {what} of at most {most:,} bytes; its files have {size:,}. Nothing was downloaded. If "
            "you trust its author, download it yourself and give the folder."
        )
    return repository.fetch(names)


@dataclass
class _Repository:
    """One revision of a repository.

    Attributes:
        hub_id: what the user wrote.
        repo, revision: its two halves; where it has no revision, the default branch.
        commit: which the revision is, on the hub if that answers, else in the cache.
        files: what it holds, on the hub if that answers, else in the cache.
        folder: its snapshot in the cache; None if the cache has none, or one of another commit.
        silence: why the hub does not answer, if it does not.
        sizes: in bytes, of files whose size the hub says.
        access: how it is read.
    """

    hub_id: str
    repo: str
    revision: str
    commit: str
    files: Collection[str]
    folder: Path | None
    silence: Exception | None
    sizes: Mapping[str, int] = field(default_factory=dict)
    access: Access = _AS_SET

    def has(self, names: Collection[str]) -> list[str]:
        """Those of these files that it has."""
        return [name for name in names if name in self.files]

    def lacks(self, names: str, what: str) -> CocoopError:
        """The error for files that are not to be had; if the hub is silent, for want of an answer."""
        if self.silence is not None:
            return hub_error(self.hub_id, self.silence, names)
        some = ", ".join(sorted(self.files)[:8]) or "no files"
        return InputError(
            f"{self.hub_id}: expected a model with {what} ({names}); it has {some}. Give the id of another."
        )

    def fetch(self, names: Collection[str]) -> Path:
        """Download those of these files, of which it has each and at least one, that the cache lacks.

        Returns the folder where they all lie.
        """
        from huggingface_hub import snapshot_download

        folder = self.folder
        absent = [name for name in names if not (folder and (folder / name).is_file())]
        if folder is not None and not absent:  # the client draws progress bars even where nothing is left to download
            return folder
        try:
            given = self.access._asdict()
            self.folder = Path(snapshot_download(self.repo, revision=self.commit, allow_patterns=absent, **given))
        except Exception as error:  # the hub, the network, the disk: they raise what they please
            raise hub_error(self.hub_id, error, absent[0]) from error
        if folder is None and self.revision != self.commit:  # the client notes it only where it is given the revision
            ref = self.folder.parents[1] / "refs" / self.revision
            write_whole(ref, self.commit.encode(), "the commit of a revision", flush=False)
        return self.folder


def _find(name: str, access: Access = _AS_SET) -> _Repository:
    hub_id = full_id(name)
    if not is_hub_id(hub_id):
        raise InputError(
            f"{name}: expected a hub id, owner/name or owner/name@revision, or one of {', '.join(SHORT_NAMES)}."
        )
    from huggingface_hub.constants import DEFAULT_REVISION
    from huggingface_hub.errors import RevisionNotFoundError

    repo, _, revision = hub_id.partition("@")
    revision = revision or DEFAULT_REVISION
    cached, answer = _cached(hub_id, repo, revision, access), _ask(repo, revision, access)
    if not isinstance(answer, Exception):
        commit = answer.sha or revision
        files = [file.rfilename for file in answer.siblings or []]
        sizes = {file.rfilename: file.size for file in answer.siblings or [] if file.size is not None}
        current = cached if cached and cached.name == commit else None
        return _Repository(hub_id, repo, revision, commit, files, current, None, sizes, access)
    if cached is None or isinstance(answer, RevisionNotFoundError):
        raise hub_error(hub_id, answer, "copy") from answer
    files = [path.name for path in cached.iterdir() if path.is_file()]
    return _Repository(hub_id, repo, revision, cached.name, files, cached, answer, access=access)


def _cached(hub_id: str, repo: str, revision: str, access: Access) -> Path | None:
    """The snapshot that the cache has of a revision, whole or not. Asks nobody."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # No patterns: with them the client would also judge whether the snapshot is whole.
        given = access._asdict() | {"local_files_only": True, "allow_patterns": []}
        return Path(snapshot_download(repo, revision=revision, **given))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise InputError(f"{hub_id}: expected a hub id, owner/name or owner/name@revision; got: {error}") from error


def _ask(repo: str, revision: str, access: Access) -> ModelInfo | Exception:
    """What the hub says of a repository, or why it says nothing. One request: the client would repeat it for long."""
    from huggingface_hub import HfApi, constants

    patience = float(constants.HF_HUB_ETAG_TIMEOUT) if "HF_HUB_ETAG_TIMEOUT" in os.environ else _PATIENCE
    said: queue.SimpleQueue[ModelInfo | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            api = HfApi(token=access.token)
            said.put(api.model_info(repo, revision=revision, timeout=patience, files_metadata=True))
        except Exception as error:  # as many kinds as there are networks
            said.put(error)

    # The client's limit is per address and step, and looking up a name has none: a thread has one for all of it.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return said.get(timeout=patience)
    except queue.Empty:
        return TimeoutError(f"no answer within {patience:g} s (HF_HUB_ETAG_TIMEOUT sets how long to wait)")


def _shards(repository: _Repository, folder: Path, index: str) -> list[str]:
    """The files that an index names. They come from elsewhere, so only plain names of the same folder will do."""
    parts = (settings_in(folder, index) or {}).get("weight_map")
    shards = set(map(str, parts.values())) if isinstance(parts, dict) else set()
    strange = sorted(name for name in shards if not _PLAIN_FILE.fullmatch(name))
    if strange or not shards:
        raise InputError(
            f"{repository.hub_id}: expected {index} to name the files beside it that hold the weights; got "
            f"{repr(strange[0]) if strange else 'none'}. Do not use this model."
        )
    absent = sorted(shards.difference(repository.files))
    if absent:
        raise repository.lacks(absent[0], f"the files that {index} names")
    return sorted(shards)
