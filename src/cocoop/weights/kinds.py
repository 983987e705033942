"""What a file is, as far as its beginning tells, and what to do when it is no weights file."""

from cocoop.weights.faults import Fault

HEAD = 512
"""How many bytes of a file are looked at."""

_AGAIN = "Download it again, from a link that gives the file itself"
_UNPACK = "Unpack it and give the weights file inside"
_OTHER = "Give the weights file of the model"

_BEGINNINGS = (
    (b"version https://git-lfs", "a Git LFS pointer", "Fetch the file behind it with `git lfs pull`"),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"\x89HDF", "an HDF5 file (TensorFlow or Keras)", "Give the model's PyTorch or safetensors file"),
    (b"\x80", "a pickle of Python objects", "It was not opened, as a pickle can run code. " + _OTHER),
    (b"{", "a JSON file", _OTHER),
    (b"[", "a JSON file", _OTHER),
)
_BEFORE_1_6 = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
"""The number that torch.save wrote first until torch 1.6, behind the few bytes that begin every pickle."""
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")


def foreign(head: bytes) -> Fault:
    """The fault of a file that is no weights file, named by its first bytes."""
    kind, advice = _kind(head)
    return Fault(
        "expected weights: a safetensors file, an archive of torch.save or TorchScript (.pt, .pth, .bin), or the index "
        f"of a sharded model (.index.json); got {kind}. {advice}."
    )


def _kind(head: bytes) -> tuple[str, str]:
    if not head:
        return "an empty file", _AGAIN
    if not head.strip(b"\0"):
        return "a file that begins with zeros, as an unfinished download does", _AGAIN
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.lower().startswith(_PAGES):
        return "a web page", _AGAIN
    if head[:1] == b"\x80" and _BEFORE_1_6 in head[:32]:
        save = "`torch.save(torch.load('OLD', weights_only=True), 'NEW')`"
        return "a file of torch.save from before torch 1.6", f"Save it again with a current torch: {save}"
    for beginning, kind, advice in _BEGINNINGS:
        if start.startswith(beginning):
            return kind, advice
    if head.isascii() and head.decode("ascii").replace("\n", "").replace("\r", "").replace("\t", "").isprintable():
        return "a text file", _AGAIN
    return f"a file of another kind (it begins with the bytes {head[:8].hex(' ')})", _OTHER
