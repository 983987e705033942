"""What is wrong with a weights file: raised without its path, which `read_weights` puts in front."""

from cocoop.errors import InputError, reason


class Fault(InputError):
    """A file that cannot be read as weights; the text says what was expected, what came and what to do."""


def damaged(expected: str, got: str) -> Fault:
    """The fault of a file that is incomplete or altered by accident."""
    return Fault(f"expected {expected}; got {got}. The file is damaged or incomplete: download it again.")


def unsafe(expected: str, got: str) -> Fault:
    """The fault of a file that asks for more than tensors need."""
    return Fault(
        f"expected {expected}; got {got}. Nothing in the file was run. Do not use it: it is not a plain weights file. "
        "If you trust its author, ask for the state dict alone, best as safetensors."
    )


def unknown(what: str) -> Fault:
    """The fault of a file with something that does no harm but that this reader cannot make tensors of."""
    return Fault(
        f"expected plain tensors and values alone; got {what}, which this reader does not know. Save the state dict "
        "alone, as plain tensors, best as safetensors."
    )


def big_endian() -> Fault:
    """The fault of a file whose numbers have their highest byte first."""
    return Fault(
        "expected little-endian numbers; got big-endian ones. Save the weights again on an ordinary machine, or as "
        "safetensors."
    )


def broken(expected: str, error: Exception) -> Fault:
    """The fault of a file that a library could not read, with the library's reason."""
    return damaged(expected, shown(reason(error), 200))


def shown(text: str, length: int = 80) -> str:
    """Text from a file as it may stand in a message: short, and without control characters."""
    short = text if len(text) <= length else f"{text[:length]}..."
    return short if short.isprintable() else ascii(short)
