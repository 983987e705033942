"""What is installed, beside what cocoop's own metadata asks for."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from cocoop.doctor.finding import Finding
from cocoop.errors import reason

_NAME = "cocoop"
_FOR_DEVELOPERS = "dev"
_MODULES = {"pillow": "PIL", "scikit-learn": "sklearn"}
"""Library -> its module, where it has another name."""

# What all of transformers' models import, and what there imports torchvision if it is installed.
_BESIDE_TORCHVISION = "import torchvision\nimport transformers.image_utils"
_PATIENCE = 120  # seconds


def python() -> Iterator[Finding]:
    """Cocoop's version, and Python's beside the one that it needs."""
    yield Finding(_NAME, version(_NAME))
    here, needed = platform.python_version(), metadata(_NAME)["Requires-Python"]
    fits = _fits(here, SpecifierSet(needed))
    remedy = "" if fits else f"Install cocoop with a Python {needed}."
    yield Finding("Python", f"{here}, {platform.python_implementation()}", "ok" if fits else "wrong", remedy)


def system() -> Iterator[Finding]:
    """The operating system and its C library."""
    yield Finding("system", platform.platform())


def libraries() -> Iterator[Finding]:
    """Each library that cocoop needs: whether it is there, in a version that fits, and can be imported."""
    for needed in _requirements(""):
        yield _library(needed)


def _library(needed: Requirement) -> Finding:
    wanted = f"{needed.name}{needed.specifier}"
    install = f'pip install "{wanted}"'
    there = _version(needed.name)
    if there is None:
        return Finding(needed.name, "not installed", "wrong", install)
    if not _fits(there, needed.specifier):
        return Finding(needed.name, f"{there}, but {wanted} is needed", "wrong", install)
    try:
        import_module(_MODULES.get(needed.name, needed.name.replace("-", "_").lower()))
    except Exception as error:  # whatever a broken library raises
        remedy = f'pip install --force-reinstall "{wanted}"'
        return Finding(needed.name, f"{there}, but cannot be imported: {reason(error)}", "wrong", remedy)
    return Finding(needed.name, there)


def extras() -> Iterator[Finding]:
    """Each extra of cocoop: what of it is installed. Nothing is imported."""
    for extra in metadata(_NAME).get_all("Provides-Extra") or []:
        if extra != _FOR_DEVELOPERS:
            yield _extra(extra)


def _extra(extra: str) -> Finding:
    needed = {requirement: _version(requirement.name) for requirement in _requirements(extra)}
    there = ", ".join(f"{requirement.name} {found}" for requirement, found in needed.items() if found)
    absent = ", ".join(requirement.name for requirement, found in needed.items() if not found)
    misfits = [f"{r.name}{r.specifier}" for r, found in needed.items() if found and not _fits(found, r.specifier)]
    check, install = f"extra {extra}", f'pip install "{_NAME}[{extra}]"'
    if misfits:
        return Finding(check, f"{there}; needed are {', '.join(misfits)}", "wrong", install)
    return Finding(check, f"not installed: {absent} ({install})" if absent else there)


def torchvision() -> Iterator[Finding]:
    """Whether a torchvision that is installed works, alone and below transformers; in a process of its own.

    Cocoop needs none, and works beside a broken one. Other programs that share the installation do not.
    """
    there = _version("torchvision")  # not `find_spec`, which only says what this process has done with the name
    if there is None:
        yield Finding("torchvision", "not installed, not needed")
        return
    search = os.pathsep.join(filter(None, sys.path))
    ran = subprocess.run(
        [sys.executable, "-c", _BESIDE_TORCHVISION],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_PATIENCE,
    )
    if ran.returncode == 0:
        yield Finding("torchvision", there)
        return
    why = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
    remedy = f"pip uninstall torchvision; or install the one that belongs to torch {_version('torch')}."
    yield Finding("torchvision", f"{there}, but broken, and transformers' models with it: {why}", "wrong", remedy)


def _requirements(extra: str) -> Iterator[Requirement]:
    """What cocoop needs with this extra and does not need without it; with "" what it always needs."""
    for needed in map(Requirement, requires(_NAME) or []):
        if not _applies(needed, extra) or (extra and _applies(needed, "")):
            continue
        if needed.name == _NAME:  # an extra of extras
            for other in needed.extras:
                yield from _requirements(other)
        else:
            yield needed


def _applies(needed: Requirement, extra: str) -> bool:
    return needed.marker is None or needed.marker.evaluate({"extra": extra})


def _fits(there: str, wanted: SpecifierSet) -> bool:
    return wanted.contains(there, prereleases=True)  # nightly builds are taken at their word


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
