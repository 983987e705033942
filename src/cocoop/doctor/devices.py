"""What computes here, and how fast in each precision."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cocoop.doctor.finding import Finding, findings_of

if TYPE_CHECKING:
    import torch

_NVIDIA = Path("/dev/nvidia0")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_WIDTH = 256  # of the matrices that are multiplied
_TRIES = 10  # other work on the machine spoils some


def threads() -> Iterator[Finding]:
    """How many threads torch takes, beside the cores that it may run on."""
    import torch

    from cocoop.features import usable_cpus
    from cocoop.results import environment

    here, taken = environment(), torch.get_num_threads()
    usable = min(usable_cpus(), _quota())
    set_to = os.environ.get("OMP_NUM_THREADS")
    told = f" (OMP_NUM_THREADS={set_to})" if set_to else ""
    found = f"{taken}{told}; {usable:g} usable cores of {here.cpu_count}, {here.processor}"
    if taken <= usable:
        yield Finding("threads", found)
    else:
        yield Finding("threads", found, "note", f"Set OMP_NUM_THREADS={max(1, int(usable))}: more wait for each other.")


def _quota() -> float:
    """Cores that a container may use at a time."""
    try:
        used, period = _QUOTA.read_text().split()
        return int(used) / int(period)
    except (OSError, ValueError):  # not there, or "max"
        return float("inf")


def found_devices() -> list[torch.device]:
    """The CPU, and every GPU that torch sees."""
    import torch

    found = [torch.device("cpu"), *(torch.device("cuda", i) for i in range(torch.cuda.device_count()))]
    return [*found, torch.device("mps")] if torch.backends.mps.is_available() else found


def devices() -> Iterator[Finding]:
    """Each device: what it is, its free memory, and the rate of its matrix products; a GPU that torch does not see."""
    import torch

    for device in found_devices():
        yield from findings_of(f"device {device}", partial(_device, device))
    if _NVIDIA.exists() and not torch.cuda.is_available():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
        remedy = "Install the torch for this machine's CUDA driver (pytorch.org has the command); until then: the CPU."
        yield Finding("GPU", f"there is one that torch, built for {built}, does not see", "note", remedy)


def _device(device: torch.device) -> Iterator[Finding]:
    import torch

    from cocoop.clip.text.memory import free_memory

    if device.type == "cuda":
        has = torch.cuda.get_device_properties(device)
        memory = f"{free_memory(device) / 1e9:.1f} of {has.total_memory / 1e9:.1f} GB free"
        bfloat16 = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bfloat16"
        about = f"{has.name}, {memory}, capability {has.major}.{has.minor}, {bfloat16} of its own"
    else:
        about = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else "Apple GPU"
    rates = [f"{name} {_gflops(device, getattr(torch, name)):,.3g}" for name in ("float32", "bfloat16", "float16")]
    yield Finding(f"device {device}", f"{about}; GFLOP/s: {', '.join(rates)}")


def _gflops(device: torch.device, dtype: torch.dtype) -> float:
    """The rate of a product of two matrices of `_WIDTH`, the best of some tries."""
    import torch

    matrix, seconds = torch.ones(_WIDTH, _WIDTH, device=device, dtype=dtype), []
    for _ in range(_TRIES):
        start = time.perf_counter()
        (matrix @ matrix)[0, 0].item()  # waits for a GPU
        seconds.append(time.perf_counter() - start)
    return 2 * _WIDTH**3 / min(seconds) / 1e9
