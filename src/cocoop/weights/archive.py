"""Zip archives of torch.save and torch.jit.save: tensors mapped from the file, nothing in it run.

Such an archive holds `<folder>/data.pkl`, a pickle of what was saved, and the bytes of each storage, as they are in
memory, in `<folder>/data/<key>`. Both are read here; the code that a TorchScript archive also holds is never opened.
"""

import io
import itertools
import re
import struct
import zipfile
from pathlib import Path

from torch import Tensor

from cocoop.weights.contents import MAX_NAME, epoch_in, expect_honest, module_state, state_in
from cocoop.weights.faults import Fault, big_endian, broken, damaged, shown, unsafe
from cocoop.weights.stand_ins import Record
from cocoop.weights.storages import Storages
from cocoop.weights.unpickle import MAX_PICKLE, read_pickle

MAX_ENTRIES = 20_000
MAX_DIRECTORY = 4 * 2**20
"""Entries, and bytes of directory: several times what a training checkpoint of ViT-bigG has."""

_LOCAL = struct.Struct("<4s2x2H16x2H")  # signature, flags, method, lengths of name and extra
_ENCRYPTED, _UTF8 = 0x1, 0x800
_PICKLE = re.compile(r"[^/]+/data\.pkl")


def read_archive(path: Path) -> tuple[dict[str, Tensor], bool, int | None]:
    """Tensors by name, mapped from the file; whether the archive is TorchScript; and the epoch that it says it is of.

    Memory in use is about the directory and the pickle; the tensors' pages are the file's. Checksums of tensors are
    not computed, which would read the whole file. Raises a `Fault` for an archive that is damaged or asks for more.
    """
    with _Careful(path) as file:
        archive = _Archive(file)
        saved = read_pickle(archive.pickle(), Storages(path, archive.size, archive.spans()).stored)
    scripted = isinstance(saved, Record)
    tensors = module_state(saved) if isinstance(saved, Record) else state_in(saved)
    expect_honest(tensors, archive.size)
    return tensors, scripted, epoch_in(saved)


class _Careful(io.FileIO):
    """A file that gives out only so much at once: a directory is as large as the file claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `MAX_DIRECTORY` bytes; asking for more is a fault of the file."""
        wanted = MAX_DIRECTORY if size is None or size < 0 else size
        if wanted > MAX_DIRECTORY:
            raise damaged(f"a directory of at most {MAX_DIRECTORY:,} bytes", f"{wanted:,}")
        return super().read(wanted) or b""


class _Archive:
    """The directory of an open file, by names without their common folder."""

    def __init__(self, file: _Careful) -> None:
        self._file = file
        self.size = file.seek(0, io.SEEK_END)
        try:
            self._zip = zipfile.ZipFile(file)
        except Fault:
            raise
        except Exception as error:  # BadZipFile, ValueError, struct.error, NotImplementedError, ...
            raise broken("a zip archive with its directory at the end", error) from error
        self._entries = _entries(self._zip.infolist())

    def pickle(self) -> bytes:
        """The bytes of data.pkl, of an archive whose numbers are little-endian."""
        if "byteorder" in self._entries and self._read("byteorder", 16) != b"little":
            raise big_endian()
        return self._read("data.pkl", MAX_PICKLE)

    def spans(self) -> dict[str, tuple[int, int]]:
        """Key of a storage -> where its bytes start in the file, and how many they are. No two overlap."""
        names = [name for name in self._entries if name.startswith("data/")]
        spans = {name.removeprefix("data/"): self._span(name) for name in names}
        pickle = self._entries["data.pkl"]
        taken = sorted([*spans.values(), (self._start(pickle), pickle.compress_size)])
        for (start, size), (following, _) in itertools.pairwise(taken):
            if start + size > following:
                raise unsafe("entries one after the other", "two that overlap")
        return spans

    def _read(self, name: str, limit: int) -> bytes:
        info = self._entries[name]
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise unsafe(f"{name} stored or deflated", f"compression method {info.compress_type}")
        try:
            with self._zip.open(info) as stream:
                data = bytearray()
                while piece := stream.read(min(2**20, limit + 1 - len(data))):
                    data += piece
        except Exception as error:  # BadZipFile, zlib.error, EOFError, OSError, ...
            raise broken(f"a readable {name}", error) from error
        if len(data) > limit:
            raise unsafe(f"a {name} of at most {limit:,} bytes", "a larger one")
        return bytes(data)

    def _span(self, name: str) -> tuple[int, int]:
        info = self._entries[name]
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise unsafe("numbers stored as they are, as torch does", f"{shown(name)} compressed")
        start = self._start(info)
        if start + info.file_size > self.size:
            raise damaged(f"{info.file_size:,} bytes of {shown(name)}", "a file that ends before")
        return start, info.file_size

    def _start(self, info: zipfile.ZipInfo) -> int:
        """Where an entry's bytes start: after its own header, whose length only itself tells."""
        if not 0 <= info.header_offset <= self.size - _LOCAL.size:
            raise damaged(f"the entry {shown(info.filename)} inside the file", f"its offset {info.header_offset}")
        self._file.seek(info.header_offset)
        signature, flags, method, name_length, extra_length = _LOCAL.unpack(self._file.read(_LOCAL.size))
        name = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
        same = signature == b"PK\3\4" and method == info.compress_type and self._file.read(name_length) == name
        if not same or flags & _ENCRYPTED:
            raise damaged(f"the entry {shown(info.filename)} where the directory says", "something else there")
        return info.header_offset + int(_LOCAL.size + name_length + extra_length)


def _entries(infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The entries by their names inside the one folder that all share. Raises a `Fault` for any other layout."""
    if not any(_PICKLE.fullmatch(info.orig_filename) for info in infos):
        some = ", ".join(shown(info.orig_filename) for info in infos[:3]) or "no entries"
        raise Fault(
            f"expected an archive of torch.save or TorchScript, with data.pkl in a folder; got a zip archive of {some}"
            ". Give the weights file of the model, unpacked if it is inside."
        )
    if len(infos) > MAX_ENTRIES:
        raise unsafe(f"at most {MAX_ENTRIES:,} entries", f"{len(infos):,}")
    entries: dict[str, zipfile.ZipInfo] = {}
    folders = set()
    for info in infos:
        full = info.orig_filename
        folder, *rest = full.removesuffix("/").split("/")
        plain = len(full) <= MAX_NAME and "\\" not in full and "\0" not in full
        if not plain or any(part in ("", ".", "..") for part in (folder, *rest)):
            raise unsafe(f"plain relative names of entries, of at most {MAX_NAME:,} letters", shown(full))
        if info.flag_bits & _ENCRYPTED:
            raise unsafe("entries without a password", f"{shown(full)} encrypted")
        name = "/".join(rest)
        if name in entries:
            raise unsafe("one entry of each name", f"two named {shown(full)}")
        folders.add(folder)
        entries[name] = info
    if len(folders) > 1:
        names = ", ".join(shown(folder) for folder in sorted(folders)[:3])
        raise unsafe("all entries in one folder, as torch writes them", f"entries in {names}")
    return entries
