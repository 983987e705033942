"""From the object in a checkpoint to tensors by name."""

from torch import Tensor

from cocoop.weights.faults import Fault, damaged, shown, unsafe
from cocoop.weights.stand_ins import Record, kind_of

MAX_TENSORS = 20_000
MAX_NAME = 1_000
"""Letters of the name of a tensor, or of an entry of an archive."""
_MAX_DEPTH, _MAX_ATTRIBUTES = 32, 100_000
"""A CLIP of 48 blocks has modules 6 deep and about 10,000 attributes. The bounds also end circles."""


def state_in(value: object) -> dict[str, Tensor]:
    """The state dict that a checkpoint is, or that a training checkpoint has as its "state_dict".

    Raises a `Fault` that says what was there unless it is a mapping of texts to at least one tensor.
    """
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    expected = "a state dict, or a training checkpoint with one under 'state_dict'"
    if not isinstance(value, dict):
        raise _no_state(expected, f"an object of kind {kind_of(value)}")
    if not value:
        raise _no_state(expected, "one without tensors")
    for name, tensor in value.items():
        if not isinstance(name, str):
            raise _no_state(expected, f"a dict of {len(value)} with a key of kind {kind_of(name)}")
        if not isinstance(tensor, Tensor):
            raise _no_state(expected, f"a dict of {len(value)} whose {shown(name)!r} is of kind {kind_of(tensor)}")
    return value


def epoch_in(value: object) -> int | None:
    """How many epochs a training checkpoint says that it is of; None of anything that does not say it."""
    epoch = value.get("epoch") if isinstance(value, dict) else None
    return epoch if type(epoch) is int and 0 <= epoch < 2**31 else None


def module_state(root: Record) -> dict[str, Tensor]:
    """The tensors of a TorchScript module and of its submodules, by dotted name; other attributes are left out.

    Raises a `Fault` for a tree that no model has: too deep, too large, or with names that are no names.
    """
    tensors: dict[str, Tensor] = {}
    modules = [("", root, 0)]
    seen = 0
    while modules:
        prefix, module, depth = modules.pop()
        if depth > _MAX_DEPTH:
            raise unsafe(f"modules within modules at most {_MAX_DEPTH} deep", "a deeper tree")
        seen += len(module.attributes)
        if seen > _MAX_ATTRIBUTES:
            raise unsafe(f"modules with at most {_MAX_ATTRIBUTES:,} attributes in all", "more")
        for attribute, value in module.attributes.items():
            name = _dotted(prefix, attribute)
            if isinstance(value, Record):
                modules.append((f"{name}.", value, depth + 1))
            elif isinstance(value, Tensor):
                if name in tensors:
                    raise unsafe("one tensor of each name", f"two named {shown(name)}")
                tensors[name] = value
    if not tensors:
        raise _no_state("a TorchScript model with weights", f"{shown(root.name)} without tensors")
    return tensors


def expect_few(count: int) -> None:
    """Raise a `Fault` if a file has more tensors than any model."""
    if count > MAX_TENSORS:
        raise unsafe(f"at most {MAX_TENSORS:,} tensors", f"{count:,}")


def expect_honest(tensors: dict[str, Tensor], file_size: int) -> None:
    """Raise a `Fault` if tensors claim more than a file of `file_size` bytes can hold, by repeating what it has."""
    expect_few(len(tensors))
    for name, tensor in tensors.items():
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise unsafe("tensors whose values are all in the file", f"{shown(name)}, which repeats fewer values")
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if total > 2 * file_size:
        raise unsafe(f"tensors of at most twice the file's {file_size:,} bytes", f"{total:,} bytes of them")


def _dotted(prefix: str, attribute: object) -> str:
    if not isinstance(attribute, str):
        raise damaged("attributes with names", f"one of kind {kind_of(attribute)}")
    if len(prefix) + len(attribute) > MAX_NAME:
        raise unsafe(f"names of at most {MAX_NAME:,} letters", shown(attribute))
    return prefix + attribute


def _no_state(expected: str, got: str) -> Fault:
    return Fault(f"expected {expected}; got {got}. Give the model's weights file.")
