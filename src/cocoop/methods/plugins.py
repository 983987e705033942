"""Methods from a user's own files, which register themselves in `METHODS` when they are run."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from cocoop.errors import InputError
from cocoop.methods import METHODS


def load_plugins(files: Iterable[Path]) -> None:
    """Run Python files that the user names, once each, as in `cocoop.METHODS["mine"] = Mine`.

    A plugin is imported as the module "cocoop_plugin_STEM", so that what it defines can be pickled.

    Raises:
        InputError: no such file, an error in it, or it registers no method.
    """
    for file in files:
        name = f"cocoop_plugin_{file.stem}"
        module = sys.modules.get(name)
        if module is not None and Path(module.__file__ or "").resolve() == file.resolve():
            continue
        if not file.is_file() or file.suffix != ".py":
            raise InputError(f"plugin {file}: expected a Python file (.py) that registers a method; it is none.")
        before = dict(METHODS)
        spec = spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None  # of a .py file there always are
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise InputError(
                f"plugin {file}: expected a file that runs; got {type(error).__name__}: {error}"
            ) from error
        if before == METHODS:
            raise InputError(
                f"plugin {file}: expected a method in it to be registered; got none. Add a line such as "
                'cocoop.METHODS["mine"] = Mine.'
            )
