"""Room: memory, disk, shared memory, open files, and what is kept from the hub."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cocoop.doctor.finding import Finding, findings_of
from cocoop.errors import plainly

_LEAST_MEMORY = 10**9  # bytes: a CLIP of ViT-B/16's size in float32 takes 0.6 GB, and torch the rest
_LEAST_FOR_RESULTS = 10**8
_LEAST_FOR_A_CLIP = 10**9
_LEAST_FILES = 64  # with which every command was tested
_PIXELS = 224**2 * 3 * 4  # bytes of a picture as most CLIPs take it


def memory() -> Iterator[Finding]:
    """What can still be allocated, on the machine and in its container."""
    from cocoop.clip.text.memory import free_of_container, free_of_machine

    machine, container = free_of_machine(), free_of_container()
    left = "".join(f"; the container leaves {_gb(free)}" for free in container if free < machine)
    enough = min([machine, *container]) >= _LEAST_MEMORY
    remedy = "" if enough else f"End other programs, or give the container more: {_gb(_LEAST_MEMORY)} at least."
    yield Finding("memory", f"{_gb(machine)} free{left}", "ok" if enough else "wrong", remedy)


def disk() -> Iterator[Finding]:
    """The places that commands write to: whether they can be written, and how much is free there."""
    from huggingface_hub.constants import HF_HUB_CACHE

    from cocoop.data import cache_folder

    places = {
        "current folder": (Path.cwd(), _LEAST_FOR_RESULTS),
        "temporary files": (Path(tempfile.gettempdir()), _LEAST_FOR_RESULTS),
        "cache": (cache_folder(), _LEAST_FOR_RESULTS),
        "hub cache": (Path(HF_HUB_CACHE), _LEAST_FOR_A_CLIP),
    }
    for name, (place, least) in places.items():
        check = f"disk, {name}"
        yield from findings_of(check, partial(_disk, check, place, least))


def _disk(check: str, place: Path, least: int) -> Iterator[Finding]:
    there = next(folder for folder in (place, *place.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        found = f"{_plain(place)} cannot be written: {plainly(error)}"
        yield Finding(check, found, "wrong", "Get the right to write there, or choose another place.")
        return
    enough = free >= least
    remedy = "" if enough else f"Make room: {_gb(least)} at least."
    yield Finding(check, f"{_gb(free)} free, {_plain(place)}", "ok" if enough else "wrong", remedy)


def shared_memory() -> Iterator[Finding]:
    """Whether processes that decode pictures have room to hand them over; without it, threads decode."""
    import torch

    from cocoop.features.ahead import FEWEST_PROCESSES, SHARED_MEMORY, processes_with_room, usable_cpus
    from cocoop.features.encode import images_at_once

    if sys.platform != "linux":
        yield Finding("shared memory", "not limited by a folder on this system")
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    room, cpus = max(0, processes_with_room(images_at_once(device) * _PIXELS)), usable_cpus()
    size = f"{_gb(shutil.disk_usage(SHARED_MEMORY).free)} free" if SHARED_MEMORY.is_dir() else "none"
    found = f"{size} in {SHARED_MEMORY}: room for {room:,} processes that decode"
    if cpus < FEWEST_PROCESSES:
        yield Finding("shared memory", f"{found}; on {cpus} cores threads do")
    elif room < cpus:
        who = "threads decode, slower" if room < FEWEST_PROCESSES else "fewer processes decode than there are cores"
        yield Finding("shared memory", found, "note", f"Until a container has more (--shm-size=1g), {who}.")
    else:
        yield Finding("shared memory", found)


def open_files() -> Iterator[Finding]:
    """How many files a process may have open."""
    if sys.platform == "win32":
        yield Finding("open files", "not limited by a setting on this system")
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = limit == resource.RLIM_INFINITY or limit >= _LEAST_FILES
    found = "no limit" if limit == resource.RLIM_INFINITY else f"{limit:,} at most"
    remedy = "" if enough else f"Raise the limit before the command: ulimit -n 1024 (at least {_LEAST_FILES})."
    yield Finding("open files", found, "ok" if enough else "wrong", remedy)


def hub_cache() -> Iterator[Finding]:
    """Which of OpenAI's CLIPs lie in the hub's cache; other models are counted, not named."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE

    from cocoop.clip.sources.hub import SHORT_NAMES

    where, offline = _plain(Path(HF_HUB_CACHE)), "; HF_HUB_OFFLINE is set" if HF_HUB_OFFLINE else ""
    if not os.path.isdir(HF_HUB_CACHE):
        yield Finding("CLIPs of the hub", f"none: there is no {where} yet{offline}")
        return
    cache = scan_cache_dir(HF_HUB_CACHE)
    models = {repo.repo_id for repo in cache.repos if repo.repo_type == "model"}
    known = [short for short, hub_id in SHORT_NAMES.items() if hub_id in models]
    found = f"{', '.join(known) or 'none'} of OpenAI's, {len(models) - len(known)} other models, in {where}{offline}"
    if cache.warnings:
        remedy = f"Delete what is damaged below {where}; it is fetched again."
        yield Finding("CLIPs of the hub", f"{found}; {len(cache.warnings)} damaged folders", "note", remedy)
    else:
        yield Finding("CLIPs of the hub", found)


def _gb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"


def _plain(place: Path) -> str:
    """The place as it may be shown to strangers: without the name of the user's home."""
    return f"~/{place.relative_to(Path.home())}" if place.is_relative_to(Path.home()) else str(place)
