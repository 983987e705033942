"""What a request holds, read within the limits: a form of pictures and words, or JSON. Nothing goes to the disk."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from fastapi import HTTPException, Request
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from cocoop.class_names import check_class_names, listed
from cocoop.errors import InputError
from cocoop.reading import parse_json
from cocoop.web.limits import PICTURES, TABLE, Budgets, Limits

_FIELDS = PICTURES + 16  # a label for each picture, and the few others
_WORDS = 2**20  # bytes of one field
_FEWER_PICTURES = "Send fewer or smaller pictures at a time, or start the server with a larger --max-upload."
_DRAINED = 4  # times as much as may be sent is read and forgotten, so that who sends it reads why

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # what is wrong with a form stands in the answer


class Form(NamedTuple):
    """A form: pictures, by their names and bytes, and its other fields, each in the order it was given."""

    pictures: list[tuple[str, bytes]]
    fields: dict[str, list[str]]

    def one(self, name: str) -> str | None:
        """The last value of a field; None where it is not given, or empty."""
        return (self.fields.get(name) or [""])[-1] or None


class _InMemory(MultiPartParser):
    """Keeps files in memory, however large they are: what may come is limited before. A form has to be whole."""

    spool_max_size = sys.maxsize

    def __init__(self, headers: Headers, parts: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers, self._to_the_end(parts), max_files=PICTURES, max_fields=_FIELDS, max_part_size=_WORDS)
        self._is_whole = False

    def on_end(self) -> None:
        """At the boundary that ends a form."""
        self._is_whole = True

    async def _to_the_end(self, parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async for part in parts:
            yield part
        if not self._is_whole:
            raise MultiPartException("it ends before its last boundary")


@asynccontextmanager
async def table_of(request: Request, limits: Limits, budgets: Budgets) -> AsyncIterator[bytes]:
    """The body of a request that is a table, while it is needed, which one at a time is.

    413 if it is larger than `TABLE` or `limits.upload`, 400 for a wrong length.
    """
    async with _sent(request, min(TABLE, limits.upload), budgets, "Send fewer rows at a time.") as parts:
        body = b"".join([part async for part in parts])
        async with budgets.table:  # when all is there: who sends slowly keeps nobody waiting
            yield body


@asynccontextmanager
async def form_of(request: Request, limits: Limits, budgets: Budgets) -> AsyncIterator[Form]:
    """A request's form, while it is needed.

    Raises:
        HTTPException: 415 for anything but multipart/form-data, 400 for a damaged form or a wrong length, 413 if it is
            larger than `limits.upload`.
        InputError: no picture, or one in another field than "image".
    """
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise HTTPException(415, f"expected multipart/form-data; got {kind or 'no Content-Type'}. curl -F sends it.")
    async with _sent(request, limits.upload, budgets, _FEWER_PICTURES) as parts:
        try:
            data = await _InMemory(request.headers, parts).parse()
        except MultiPartException as error:
            raise HTTPException(400, f"expected a whole form; got one with a fault: {error.message}") from error
        try:
            form = await _form(data)
        finally:
            await data.close()
        yield form


async def _form(data: FormData) -> Form:
    form = Form([], {})
    for name, value in data.multi_items():
        if isinstance(value, str):
            form.fields.setdefault(name, []).append(value)
        elif name == "image":
            form.pictures.append((value.filename or f"picture {len(form.pictures) + 1}", await value.read()))
        else:
            raise InputError(f"form: expected pictures in the field image; got one in {name!r}. Rename the field.")
    if not form.pictures:
        raise InputError("image: expected a picture, as a file; got none. Send one: -F image=@photo.jpg.")
    return form


@asynccontextmanager
async def _sent(
    request: Request, limit: int, budgets: Budgets, advice: str
) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    """What is sent, part by part, when there is room for it; `advice` to who sends more bytes than the limit."""
    declared = request.headers.get("content-length")
    if declared is not None and not declared.isdecimal():
        raise HTTPException(400, f"expected a number of bytes as Content-Length; got {declared!r}. Leave it out.")
    size = None if declared is None else int(declared)
    if size is not None and size > limit:
        await _drain(request.stream(), limit)
        raise _too_large(limit, advice)
    async with budgets.uploads.taken(budgets.of_upload(size)):
        yield _limited(request.stream(), limit, advice)


async def _limited(stream: AsyncGenerator[bytes, None], limit: int, advice: str) -> AsyncGenerator[bytes, None]:
    came = 0
    async for part in stream:
        came += len(part)
        if came > limit:
            await _drain(stream, limit)
            raise _too_large(limit, advice)
        yield part


async def _drain(stream: AsyncGenerator[bytes, None], limit: int) -> None:
    left = _DRAINED * limit
    async for part in stream:
        left -= len(part)
        if left < 0:
            return


def _too_large(limit: int, advice: str) -> HTTPException:
    return HTTPException(413, f"expected at most {limit:,} bytes; got more. {advice}")


def classes_of(form: Form, most: int) -> tuple[str, ...] | None:
    """The names in the field "classes", a JSON list of texts; None where there is no such field.

    Raises:
        InputError: no list of texts, fewer than two, more than `most`, or names that cannot work.
    """
    given = form.one("classes")
    if given is None:
        return None
    try:
        names = parse_json(given)
    except ValueError as error:
        raise InputError(
            f'classes: expected a JSON list of names, such as ["cat", "dog"]; got {given[:100]!r}.'
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f'classes: expected a JSON list of names, such as ["cat", "dog"]; got {given[:100]!r}.')
    if not 2 <= len(names) <= most:
        raise InputError(
            f"classes: expected 2 to {most:,} names; got {len(names):,}. Change the list, or start the server with a "
            "larger --max-classes."
        )
    check_class_names(listed(names))
    return tuple(names)


def number_of(form: Form, name: str, otherwise: int) -> int:
    """A whole number of 1 or more. `InputError` for something else."""
    given = form.one(name)
    if given is None:
        return otherwise
    if not (given.isascii() and given.isdecimal() and len(given) < 10 and int(given)):
        raise InputError(f"{name}: expected a whole number of 1 or more; got {given[:100]!r}.")
    return int(given)
