"""Methods from a user's own files, which register themselves in `METHODS` when they are run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from inspect import isabstract
from pathlib import Path
from typing import Any

from cocoop.errors import InputError
from cocoop.methods import METHODS, Method


def load_plugins(files: Iterable[Path]) -> None:
    """Run Python files that the user names, once each, as in `cocoop.METHODS["mine"] = Mine`.

    A plugin is imported as the module "cocoop_plugin_STEM_HASH", with a hash of its path, so that what it defines can
    be pickled. One that is refused leaves nothing in `METHODS`.

    Raises:
        InputError: no such file, an error in it, or it registers no method, or something else.
    """
    for file in files:
        name = _module_name(file)
        if name in sys.modules:
            continue
        if not os.path.isfile(file) or file.suffix != ".py":
            raise InputError(f"plugin {file}: expected a Python file (.py) that registers a method; it is none.")
        before = dict(METHODS)
        try:
            _run(file, name)
            _check_registered(file, {new: value for new, value in METHODS.items() if before.get(new) is not value})
        except BaseException:
            sys.modules.pop(name, None)
            METHODS.clear()
            METHODS.update(before)
            raise


def _module_name(file: Path) -> str:
    place = sha256(os.path.realpath(file).encode("utf-8", "surrogateescape")).hexdigest()
    return f"cocoop_plugin_{file.stem}_{place[:12]}"


def _run(file: Path, name: str) -> None:
    spec = spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # of a .py file there always are
    sys.modules[name] = module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"plugin {file}: expected a file that runs; got {error!r}.") from error


def _check_registered(file: Path, registered: Mapping[str, Any]) -> None:
    if not registered:
        raise InputError(
            f"plugin {file}: expected a method in it to be registered; got none. Add a line such as "
            'cocoop.METHODS["mine"] = Mine.'
        )
    for name, value in registered.items():
        if not isinstance(name, str) or not isinstance(value, type) or not issubclass(value, Method):
            raise InputError(
                f'plugin {file}: expected a text and a class below cocoop.Method, as in cocoop.METHODS["mine"] = Mine; '
                f"got {name!r} and {value!r}."
            )
        if isabstract(value):
            lacking = ", ".join(sorted(value.__abstractmethods__))
            raise InputError(f"plugin {file}: expected a whole method; got {value.__name__}, which lacks {lacking}.")
