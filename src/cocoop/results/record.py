"""Where and with what a run was made."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cocoop.results.schema import Environment

PACKAGES = ("cocoop", "torch", "transformers", "numpy", "pillow")
"""The packages whose versions can change a result."""


def environment() -> Environment:
    """Describe this machine and installation. No package is imported for it."""
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        processor=_processor(),
        cpu_count=os.cpu_count(),
        packages={name: _installed(name) for name in PACKAGES},
    )


def peak_memory_mb() -> float | None:
    """Return this process's largest resident memory so far, in MB of 10^6 bytes; None on Windows.

    Linux: VmHWM of /proc/self/status, because `getrusage` counts a parent's memory from before the start of
    this program (measured: a child of 9 MB whose parent holds 300 MB reports 304 MB). Elsewhere: `getrusage`.
    Memory of an accelerator is not in it.
    """
    if sys.platform == "win32":
        return None
    high_water = _field(Path("/proc/self/status"), "VmHWM")
    if high_water is not None:
        return int(high_water.split()[0]) * 1024 / 1e6
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def reset_peak_memory() -> bool:
    """Let `peak_memory_mb` count from now on, so that each of several runs in one process has its own peak.

    Linux only; elsewhere, or where the system forbids it, the peak stays that of the whole process. Returns whether it
    counts anew.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _processor() -> str:
    # On Linux `platform.processor()` is empty or only the architecture.
    return _field(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine()


def _field(path: Path, key: str) -> str | None:
    """Return the first value of `key` in a file of `key: value` lines, None without file or key."""
    if not path.exists():
        return None
    pairs = (line.partition(":") for line in path.read_text(encoding="utf-8").splitlines())
    return next((value.strip() for name, _, value in pairs if name.strip() == key), None)


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
