"""One door for every file of weights, told apart by content and not by extension."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cocoop.errors import InputError
from cocoop.reading import read_json
from cocoop.weights.archive import read_archive
from cocoop.weights.contents import expect_few, state_in
from cocoop.weights.faults import Fault, broken, damaged, shown, unsafe
from cocoop.weights.kinds import HEAD, foreign

MAX_LIST = 16 * 2**20
"""Bytes of the list of tensors, a JSON that an index of shards is and a safetensors file begins with."""


@dataclass(frozen=True)
class Weights:
    """Tensors of a checkpoint by the names in it, on the CPU and in the file's dtypes, mapped where possible.

    `scripted` says whether they come from a TorchScript archive, and `epoch` which one a training checkpoint is of, if
    it says so. Writing to a tensor never changes the file.
    """

    tensors: dict[str, Tensor]
    scripted: bool
    epoch: int | None = None


def read_weights(path: Path) -> Weights:
    """The tensors in a weights file, or in all files of an index of shards (`*.index.json`). Nothing in it is run.

    Knows safetensors, and the archives of torch.save and torch.jit.save (zip). All are mapped: bytes are read when
    first used. A training checkpoint gives its "state_dict".

    Raises `InputError` for a file that is absent, damaged, of another kind, or that asks for more than tensors.
    """
    with _naming(path):
        head = _head(path)
        if not _is_safetensors(head) and head.lstrip().startswith(b"{"):
            return _read_shards(path)
        return _read_file(path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the path in front of a fault; what the system says of a file becomes an `InputError` too."""
    if not _is_utf8(path):
        raise InputError(
            f"{str(path)!a}: expected a path in UTF-8, as torch and safetensors need; got one with other bytes. Rename "
            "the file or its folder."
        )
    try:
        yield
    except Fault as fault:
        raise InputError(f"{path}: {fault}") from fault
    except OSError as error:
        raise InputError(
            f"{path}: expected a weights file that can be read; got: {error.strerror or error}."
        ) from error


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _read_file(path: Path) -> Weights:
    head = _head(path)
    if _is_safetensors(head):
        return Weights(_read_safetensors(path), scripted=False)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return Weights(*read_archive(path))
    raise foreign(head)


def _is_safetensors(head: bytes) -> bool:
    """Whether a file is safetensors, to be asked before any other kind.

    It begins with its header's length, whose first bytes may be those of any other kind; its zeros are in none.
    """
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MAX_LIST


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import safe_open
    from safetensors.torch import load_file

    try:
        with safe_open(path, "pt") as file:
            expect_few(len(file.keys()))
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, Fault):
        raise
    except Exception as error:  # SafetensorError mostly
        raise broken("a whole safetensors file", error) from error
    return state_in(tensors)


def _read_shards(path: Path) -> Weights:
    """Each file that the index names is read once, and gives the tensors that the index wants of it."""
    files: dict[str, list[str]] = {}
    for tensor, file in _weight_map(path).items():
        files.setdefault(file, []).append(tensor)
    tensors: dict[str, Tensor] = {}
    for file, names in files.items():
        shard = path.with_name(file)
        if not shard.is_file():
            raise damaged(f"the file {shown(file)} beside the index", "a folder without it")
        with _naming(shard):
            held = _read_file(shard).tensors
        absent = [name for name in names if name not in held]
        if absent:
            raise damaged(f"{len(names)} tensors in {shown(file)}", f"it without {shown(absent[0])}")
        tensors.update((name, held[name]) for name in names)
    return Weights(tensors, scripted=False)


def _weight_map(path: Path) -> dict[str, str]:
    """Name of a tensor -> name of its file, of an index whose files all lie beside it."""
    try:
        index = read_json(path, MAX_LIST)
    except ValueError as error:
        raise broken("an index of shards in JSON", error) from error
    files = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(files, dict) or not files:
        raise foreign(_head(path))
    expect_few(len(files))
    for file in files.values():
        if not isinstance(file, str) or file in ("", ".", "..") or not set(file).isdisjoint("/\\\0"):
            raise unsafe("plain names of files beside the index", shown(str(file)))
    return files
