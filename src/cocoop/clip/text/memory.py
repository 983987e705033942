"""How much the text side may hold at a time: how classes and images are divided, and what is recomputed."""

from __future__ import annotations

import ctypes
import math
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from cocoop.clip.text.packing import Packing
from cocoop.clip.text.tower import TextTower
from cocoop.errors import InputError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}

# So many suffix tokens go through all layers in one pass, if memory allows. More make the products no faster, and on a
# CPU activations that no longer fit the cache and the allocator's reuse make everything between them slower.
_TOKENS_AT_ONCE = {"cpu": 8_192, "cuda": 65_536}
_UNKNOWN = 4 * 10**9  # bytes, where the system does not tell
_CONTROL_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
_USABLE = 0.8  # of the memory that is free, what "auto" takes
_OUTPUTS = 8 * 4  # bytes per number of the text features [G, K, E]: float32 copies through norm, loss and back
# One pass may take a quarter of a given budget, and hoisted tensors another; the rest is room for the outputs.
_SHARE = 4
_TYPICAL_ROW = 16  # slots of a packed row, where the real number is not known yet


def parse_memory(budget: str | int) -> int | None:
    """A memory budget in bytes, or None for "auto".

    Args:
        budget: "auto", a number of bytes, or a text such as "4GB", "500 MB" or "2GiB".

    Raises:
        InputError: none of these, or less than a byte.
    """
    if budget == "auto":
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\+?\d\d?)?)\s*([kmgt]?i?b)?\s*", str(budget), re.IGNORECASE)
    size = float(match[1]) * _UNITS[(match[2] or "").upper()] if match else 0
    if not 1 <= size < 2**63:
        raise InputError(f"memory_budget: expected auto, or a size such as 4GB or 500MB; got {budget!r}.")
    return int(size)


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on this device, in this container, without pushing others out."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min([free_of_machine(), *free_of_container()])


def free_of_machine() -> int:
    """Bytes that the machine can still give, whatever a container leaves of them."""
    try:
        available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        if available:
            return int(available[1]) * 1024
    except OSError:
        pass
    try:  # no Linux: half of what is built in
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN


def free_of_container() -> list[int]:
    """Bytes that each control group (version 2 or 1) leaves to this process; [] without a limit."""
    free = []
    for limit, used in _CONTROL_GROUPS:
        try:
            free.append(max(0, int(Path(limit).read_text()) - int(Path(used).read_text())))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return free


def give_back_freed_memory(device: torch.device) -> None:
    """Return freed memory of the process to the system, if `device` is a CPU and the C library is glibc.

    glibc keeps freed pieces that lie between used ones. Passes of slightly different sizes then add up to far more than
    any of them needs (a third over a budget, measured).
    """
    trim = _c_library_function("malloc_trim")
    if device.type == "cpu" and trim is not None:
        trim(0)


@cache
def _c_library_function(name: str) -> Any:
    """A function of the process's C library, or None."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):  # Windows has no such handle
        return None


def budget_of(tower: TextTower) -> int:
    """The tower's memory budget in bytes, now."""
    if tower.memory_budget is not None:
        return tower.memory_budget
    return int(_USABLE * free_memory(tower.positions.device))


def tokens_at_once(tower: TextTower, prefix: int, longest: int) -> int:
    """How many suffix tokens one pass may take within the tower's budget.

    Args:
        tower: the text tower.
        prefix: P, the positions before every suffix.
        longest: tokens of the longest suffix, which has to go through whole.

    Raises:
        InputError: the budget is too small for it.
    """
    most = _TOKENS_AT_ONCE.get(tower.positions.device.type, _TOKENS_AT_ONCE["cpu"])
    if tower.memory_budget is None:  # decided without asking what is free: the rounding must not depend on it
        return most
    token = _bytes_per_token(tower, prefix, _TYPICAL_ROW)
    fitting = tower.memory_budget // _SHARE // token - prefix
    if fitting < longest:
        needed = math.ceil(_SHARE * token * (longest + prefix) / 1e6)
        raise InputError(
            f"memory_budget: expected at least {needed} MB for prompts of this CLIP; got "
            f"{tower.memory_budget / 1e6:.1f} MB."
        )
    return min(most, fitting)


def may_hoist(tower: TextTower, tokens: int) -> bool:
    """Whether the states, queries, keys and values of this many suffix tokens may stay in memory."""
    if tower.memory_budget is None:
        return True
    return _hoisted_bytes(tower, tokens) <= tower.memory_budget // _SHARE


def _hoisted_bytes(tower: TextTower, tokens: int) -> int:
    return tokens * 4 * tower.width * tower.positions.itemsize


def plan(tower: TextTower, packings: Sequence[Packing], groups: int, training: bool) -> tuple[int, int]:
    """How to run G groups through these parts of the classes: (groups in one pass, passes that keep their activations).

    Without `training` no pass keeps any. Passes that keep none are recomputed in the backward pass, one at a time. The
    results are the same.

    Raises:
        InputError: the budget is too small for one pass.
    """
    largest = max(packings, key=lambda packing: packing.source.numel())
    cost = pass_bytes(tower, largest)
    together = tokens_at_once(tower, largest.prefix_length, 1) // largest.source.numel()
    if tower.memory_budget is not None:
        together = min(together, tower.memory_budget // _SHARE // cost)
    together = min(max(1, together), max(1, groups))
    together = -(-groups // -(-groups // together)) if groups else 1  # as evenly as it goes
    if not training:
        return together, 0
    passes = -(-groups // together) * len(packings)
    cost *= together
    classes, outputs = sum(len(p.lengths) for p in packings), _output_bytes(tower, packings, groups)
    left = budget_of(tower) - _held_bytes(tower, packings) - outputs
    if left < cost and tower.memory_budget is not None:
        raise InputError(
            f"memory_budget: expected at least {math.ceil(2 * max(outputs, 2 * cost) / 1e6)} MB to train with "
            f"{classes:,} different prompts and {groups:,} images at a time; got {tower.memory_budget / 1e6:.1f} MB."
        )
    return together, passes if passes * cost <= left else max(0, left // cost - 1)


def expected_bytes(tower: TextTower, packings: Sequence[Packing], training: bool) -> int:
    """Peak bytes of the text side for one image, beside the weights, with gradients or without.

    A cautious estimate: measured peaks are a tenth to a third lower.

    Raises:
        InputError: the budget is too small for it.
    """
    held, outputs = _held_bytes(tower, packings), _output_bytes(tower, packings, 1)
    if training:
        _, kept = plan(tower, packings, 1, training)
        largest = max(pass_bytes(tower, packing) for packing in packings)
        return held + outputs + min(kept + 1, len(packings)) * largest
    rows = max(packing.source.numel() + packing.prefix_length for packing in packings)
    return held + outputs // 4 + rows * _working_bytes_per_token(tower)  # two of eight copies come before the loss


def _held_bytes(tower: TextTower, packings: Sequence[Packing]) -> int:
    tokens = sum(packing.source.numel() for packing in packings)
    return _hoisted_bytes(tower, tokens) if may_hoist(tower, tokens) else 0


def _output_bytes(tower: TextTower, packings: Sequence[Packing], groups: int) -> int:
    return _OUTPUTS * groups * sum(len(packing.lengths) for packing in packings) * tower.projection.out_features


def pass_bytes(tower: TextTower, packing: Packing) -> int:
    """Roughly the bytes that one pass of one group keeps for the backward pass, working memory included."""
    rows, row = packing.source.shape
    return (rows * row + packing.prefix_length) * _bytes_per_token(tower, packing.prefix_length, row)


def _bytes_per_token(tower: TextTower, prefix: int, row: int) -> int:
    """Bytes that all layers keep of a suffix token for the backward pass, and that one layer needs to work.

    A layer keeps its input, the MLP's input (D each) and hidden states (F), the queries (D), the keys and values of the
    token's row with the prefix before it (2 D each of its share), and the attention weights (H per position seen).
    """
    block = tower.layers[0]
    width, hidden = tower.width, block.fc.out_features
    seen = prefix + row
    a_layer = 3 * width + hidden + 2 * width * seen // row + block.heads * seen
    return tower.positions.itemsize * len(tower.layers) * a_layer + _working_bytes_per_token(tower)


def _working_bytes_per_token(tower: TextTower) -> int:
    """Bytes that a layer needs to work on a suffix token, beside those that it keeps."""
    return tower.positions.itemsize * (2 * tower.layers[0].fc.out_features + 8 * tower.width)
