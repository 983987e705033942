"""Programs of torch.export as this package writes them, and nothing more.

torch's own loader evaluates texts of the file as expressions, makes Python of names in it, loads compiled libraries
that lie in it and unpickles objects. So each part of the archive is looked at first, and what torch is given is made of
what was looked at.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

from cocoop.reading import parse_json

_PARTS = re.compile(
    r"[\w-]+/(data/weights/(weight_\d+|model_weights_config\.json)|data/constants/model_constants_config\.json"
    r"|data/sample_inputs/model\.pt|models/model\.json|extra/cocoop\.json|archive_format|archive_version|byteorder"
    r"|\.data/version|\.data/serialization_id)"
)
"""Entries of an archive, behind the one folder that they all lie in."""
_MOST_PARTS = 20_000
_MOST_TEXT = 2**27

_NAME = re.compile(r"[\w.]*")
_LENGTH = r"Symbol\('s\d+', positive=True, integer=True\)"
_SPEC = r'(?:[\[\]{}, 01]|"type"|"context"|"children_spec"|: ?|null|"null"|"\[\]"|"builtins\.(?:tuple|list|dict)")*'
_TEXTS = {
    "expr_str": re.compile(rf"{_LENGTH}|Mul\(Integer\(\d+\), {_LENGTH}\)"),
    "target": re.compile(
        r"torch\.ops\.aten\.(?!from_file)[a-z]\w*\.\w+|_operator\.(?:add|sub|mul|floordiv|mod|getitem)"
    ),
    "in_spec": re.compile(_SPEC),
    "out_spec": re.compile(_SPEC),
    "as_string": re.compile(r"[a-z,>-]*"),  # of einsum, and kinds of norms
    "torch_version": re.compile(r"[\w.+]*"),
    "nn_module_stack": re.compile(r"[\w.,;\[\]]*"),
    "torch_fn": re.compile(r"[\w.;-]*"),
    "path_name": re.compile(r"weight_\d+"),
}
"""Key of a program's JSON -> what its texts may be. All other texts, and all keys, are names."""


def vetted(path: Path) -> io.BytesIO:
    """An archive with the parts of this one. `ValueError`, or what `zipfile` raises, if this package wrote no such."""
    made = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(made, "w") as copy:
        entries = archive.infolist()
        if len(entries) > _MOST_PARTS or len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("too many entries, or two of one name")
        if len({entry.filename.partition("/")[0] for entry in entries}) > 1:
            raise ValueError("entries in more than one folder")
        for entry in entries:
            if not _PARTS.fullmatch(entry.filename) or entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"the entry {entry.filename[:100]!r}, which no program of this package has")
            content = archive.read(entry)
            if entry.filename.endswith(".json") and "/extra/" not in entry.filename:
                _check(_json(content), "")
            copy.writestr(zipfile.ZipInfo(entry.filename), content)
    made.seek(0)
    return made


def _json(content: bytes) -> Any:
    if len(content) > _MOST_TEXT:
        raise ValueError("a description that is too long")
    return parse_json(content)


def _check(value: Any, key: str) -> None:
    """Raise `ValueError` unless all texts and keys in a JSON value, under `key`, are those of a program."""
    if isinstance(value, dict):
        for name, of_name in value.items():
            _check_text(name, "")
            _check(of_name, name)
    elif isinstance(value, list):
        if value and key == "guards_code":
            raise ValueError("code in it")
        for item in value:
            _check(item, key)
    elif isinstance(value, str):
        _check_text(value, key)
    elif value is True and key == "use_pickle":
        raise ValueError("a pickle in it")


def _check_text(text: str, key: str) -> None:
    if not _TEXTS.get(key, _NAME).fullmatch(text):
        raise ValueError(f"{text[:100]!r} for {key or 'a name'}, which no program of this package has")
