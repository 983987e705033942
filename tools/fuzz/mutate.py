"""How a file is damaged: by bytes, and by what its form knows (JSON, tables, safetensors, zip archives)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

OUTSIDE = "../outside"
"""A folder that no reader of a mutated file has any business in."""

_DEEP, _HUGE, _BIG = "@deep@", "@huge@", "@big@"
_RAW = {f'"{_DEEP}"': "[" * 2000 + "]" * 2000, f'"{_HUGE}"': "1e999", f'"{_BIG}"': "1" * 5000}
"""What `json.dumps` does not write -> put in for the words that stand for it."""

WORDS = [
    "", " ", "\u200b", "&nbsp;", "\xa0", "_", "x" * 10_000, "\u202eevil\u202c", "\u05d0\u05d1", "a\tb", "a\nb",
    "a\r\nb", "a\0b", "\x1b[2J\x1b]0;title\x07", "\x9b31m", "\ud800", "\ufeff", "e\u0301",
    "<script>alert(1)</script>", "</style><b>", "=1+1", "+cmd|' /C calc'!A0", "@SUM(1)", "-2+3",
    "\\input{/etc/passwd}", "[x](javascript:alert(1))", "![x](http://x/y)", "|---|", "`x`", "{}", "{0}", "%s", "$x$",
    "--out", "nan", "inf", "1e999", "9" * 400, "NaN", "null", "test", "base", "/", f"{OUTSIDE}/a.png",
    f"{OUTSIDE}/model.safetensors", f"{OUTSIDE}/run", "..", "http://127.0.0.1:9/x", "meta", "cuda:7",
]  # fmt: skip
"""Texts that are more than they seem."""

_ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 7, 2**31, 2**63, 10**400, 0.5, 1e30, -1e308, 1e-320, float("nan"), float("inf"),
    [], {}, [[]], [None], {"": None}, {"a": 1}, [1, 2], ["a", "b"], [1, "a"], _DEEP, _HUGE, _BIG, *WORDS,
]  # fmt: skip

_DTYPES = ["BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "I16", "F16", "BF16", "I32", "F32", "F64", "I64", "U64", "F4", "x"]


def mutate(name: str, content: bytes, draw: Random) -> bytes:
    """Another content for a file of this name; the same for the same state of `draw`."""
    by_form = _form_of(name, content)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        kind = by_form if by_form is not None and draw.random() < 0.65 else _bytes
        try:
            content = kind(content, draw)
        except Exception:  # the file is damaged already, and no longer of its form
            content = _bytes(content, draw)
    return content


def _form_of(name: str, content: bytes) -> Callable[[bytes, Random], bytes] | None:
    endings: dict[str, Callable[[bytes, Random], bytes]] = {
        ".json": _json, ".jsonl": _lines_of_json, ".csv": _table, ".tsv": _table, ".txt": _table,
        ".safetensors": _tensors, ".state": _tensors,
    }  # fmt: skip
    if content.startswith(b"PK\3\4"):
        return _zip
    return next((form for ending, form in endings.items() if name.endswith(ending)), None)


def _bytes(content: bytes, draw: Random) -> bytes:
    data = bytearray(content)
    start = draw.randrange(len(data) + 1)
    size = min(len(data) - start, draw.choice([1, 1, 2, 4, 8, 64, 1024]))
    part = data[start : start + size]
    match draw.randrange(9):
        case 0 if data:  # one bit
            place = draw.randrange(len(data))
            data[place] ^= 1 << draw.randrange(8)
        case 1:
            del data[start:]
        case 2:
            del data[start : start + size]
        case 3:
            data[start : start + size] = draw.randbytes(size)
        case 4:
            data[start:start] = part * draw.choice([1, 2, 100])
        case 5:
            data[start:start] = draw.randbytes(draw.choice([1, 4, 100]))
        case 6:  # numbers that are sizes and offsets
            number = draw.choice(
                [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
            )
            width = draw.choice([1, 2, 4, 8])
            data[start : start + width] = (number % 2 ** (8 * width)).to_bytes(width, draw.choice(["little", "big"]))
        case 7:
            data[start : start + size] = b"\0" * size
        case _:  # most heads lie at the beginning
            place = draw.randrange(min(len(data), 64)) if data else 0
            data[place : place + 1] = draw.randbytes(1)
    return bytes(data)


def _json(content: bytes, draw: Random) -> bytes:
    return _dumps(_value(json.loads(content), draw)).encode()


def _lines_of_json(content: bytes, draw: Random) -> bytes:
    lines = content.split(b"\n")
    number = draw.randrange(len(lines))
    if draw.random() < 0.2:
        lines.insert(number, lines[draw.randrange(len(lines))])
    else:
        lines[number] = _json(lines[number], draw)
    return b"\n".join(lines)


def _dumps(value: Any) -> str:
    text = json.dumps(value)
    for words, raw in _RAW.items():
        text = text.replace(words, raw)
    return text


def _value(value: Any, draw: Random) -> Any:
    """The value with one place of it changed: the further down, the likelier, as most places are."""
    if isinstance(value, dict | list) and value and draw.random() < 0.93:
        key = draw.choice(list(value)) if isinstance(value, dict) else draw.randrange(len(value))
        action = draw.random()
        if action < 0.08:
            del value[key]
        elif action < 0.11 and isinstance(value, dict):
            value[draw.choice(WORDS)] = value.pop(key)
        elif action < 0.14 and isinstance(value, dict):
            value[draw.choice(WORDS)] = draw.choice(_ODD)
        elif action < 0.17 and isinstance(value, list):
            value.insert(key, draw.choice([value[key], draw.choice(_ODD)]))
        else:
            value[key] = _value(value[key], draw)
        return value
    return draw.choice(_alike(value)) if draw.random() < 0.7 else draw.choice(_ODD)


def _alike(value: Any) -> list[Any]:
    """Other values of the same type, which get past whoever asks for types alone."""
    if isinstance(value, str):
        return [*WORDS, value + value, value[1:], value.upper(), value + "\u0301"]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, -value, value * 1000, 0, 1, -1, 2**31, 2**40, 2**62, -(2**63)]
    if isinstance(value, float):
        return [value + 1, -value, value * 1000, 0.0, 1e30, -1e308, 1e308, 1e-320, 100.0, 101.0, 1e-9]
    if isinstance(value, list):
        return [[], value[:1], value + value, value[::-1], value * 50]
    return [{}] if isinstance(value, dict) else [0, "", [], {}, 1.5]


def _table(content: bytes, draw: Random) -> bytes:
    lines = content.decode().split("\n")
    number = draw.randrange(len(lines))
    separator = max(",;\t ", key=lines[0].count)
    cells = lines[number].split(separator)
    match draw.randrange(6):
        case 0:
            lines.insert(number, lines[draw.randrange(len(lines))])
        case 1:
            del lines[number]
        case 2:
            cells.append(draw.choice(WORDS))
        case 3:
            del cells[draw.randrange(len(cells))]
        case _:
            cells[draw.randrange(len(cells))] = draw.choice([*WORDS, '"', '"a', "'"])
    if number < len(lines):
        lines[number] = separator.join(cells)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _tensors(content: bytes, draw: Random) -> bytes:
    """The header changed, or the numbers behind it."""
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    names = [name for name in header if name != "__metadata__"]
    name = draw.choice(names)
    match draw.randrange(8):
        case 0:
            header[name]["dtype"] = draw.choice(_DTYPES)
        case 1:  # of the same number of bytes, so that the file stays whole
            widths = [["BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"], ["F16", "BF16", "I16", "U16"], ["F32", "I32", "U32"]]
            widths.append(["F64", "I64", "U64"])
            like = next(group for group in widths if header[name]["dtype"] in group)
            header[name]["dtype"] = draw.choice(like)
        case 2:
            header[name]["shape"] = _other_shape(header[name]["shape"], draw)
        case 3:
            header[draw.choice([*WORDS, *names])] = header.pop(name)
        case 4:
            other = draw.choice(names)
            header[name], header[other] = header[other], header[name]
        case 5:
            header = _value(header, draw)
        case 6 if "__metadata__" in header:
            key = draw.choice(list(header["__metadata__"]))
            inner = header["__metadata__"][key]
            header["__metadata__"][key] = _dumps(_value(json.loads(inner), draw))
        case _:
            numbers = b"".join(draw.choice([b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f"]) for _ in range(4))
            place = draw.randrange(len(data) // 4 + 1) * 4
            data = data[:place] + numbers[: len(data) - place] + data[place + len(numbers) :]
    text = _dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _other_shape(shape: list[int], draw: Random) -> list[int]:
    """Of as many numbers, or of more."""
    count = 1
    for length in shape:
        count *= length
    options = [[count], [1, *shape], [*shape, 1], shape[::-1], [], [0], [2**40, 2**40], [-1], [count, 0]]
    return draw.choice(options)


def _zip(content: bytes, draw: Random) -> bytes:
    """One entry of an archive changed, renamed, doubled or dropped, and the archive written anew."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    number = draw.randrange(len(entries))
    name, data = entries[number]
    match draw.randrange(6):
        case 0:
            del entries[number]
        case 1:
            entries[number] = (draw.choice([f"{name}x", f"{OUTSIDE}/{name}", f"/{name}", "a", *WORDS]), data)
        case 2:
            entries.append((name, draw.choice(entries)[1]))
        case _:
            entries[number] = (name, mutate(name, data, draw))
    written = io.BytesIO()
    with zipfile.ZipFile(
        written, "w", draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    ) as new:
        for entry, inside in entries:
            new.writestr(entry.encode("utf-8", "replace").decode() or "x", inside)
    return written.getvalue()
