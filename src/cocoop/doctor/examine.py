"""All checks, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from cocoop.doctor.devices import devices, threads
from cocoop.doctor.exactness import exactness
from cocoop.doctor.finding import Finding, findings_of
from cocoop.doctor.installed import extras, libraries, python, system, torchvision
from cocoop.doctor.machine import disk, hub_cache, memory, open_files, shared_memory

CHECKS: dict[str, Callable[[], Iterable[Finding]]] = {
    "Python": python,
    "system": system,
    "libraries": libraries,
    "extras": extras,
    "torchvision": torchvision,
    "threads": threads,
    "devices": devices,
    "memory": memory,
    "disk": disk,
    "shared memory": shared_memory,
    "open files": open_files,
    "hub cache": hub_cache,
    "exactness": exactness,
}
"""Name -> what looks."""


def examine() -> Iterator[Finding]:
    """The findings of all checks. A check that raises gives a finding, too; only Ctrl-C goes through."""
    for name, look in CHECKS.items():
        yield from findings_of(name, look)
