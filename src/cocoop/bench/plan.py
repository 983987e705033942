"""What so many pictures take on so many machines, by arithmetic on the rates of this one."""

from __future__ import annotations

from dataclasses import dataclass

from cocoop.bench.rates import Rates, TextSide
from cocoop.errors import InputError


@dataclass(frozen=True)
class Part:
    """One part of the work.

    Attributes:
        name: "decoding", "image tower", "text side" or "writing".
        on: what does it: "CPUs", "GPUs" or "disk"; parts on the same wait for each other, others do not.
        seconds: for all pictures.
        source: where its rate comes from, in words.
    """

    name: str
    on: str
    seconds: float
    source: str


@dataclass(frozen=True)
class Plan:
    """The parts of a plan, and what they come to.

    Attributes:
        images: how many pictures. parts: of the work.
        pictures_bytes, features_bytes: of all files that are read, and all float16 features.
    """

    images: int
    parts: list[Part]
    pictures_bytes: float
    features_bytes: float

    @property
    def busy(self) -> dict[str, float]:
        """CPUs, GPUs or disk -> seconds in which it is at work."""
        seconds: dict[str, float] = {}
        for part in self.parts:
            seconds[part.on] = seconds.get(part.on, 0.0) + part.seconds
        return seconds

    @property
    def seconds(self) -> float:
        """Of the whole: of what is longest at work."""
        return max(self.busy.values())

    @property
    def bottleneck(self) -> Part:
        """The longest part of what is longest at work."""
        busy = self.busy
        longest = max(busy, key=lambda on: busy[on])
        return max((part for part in self.parts if part.on == longest), key=lambda part: part.seconds)


def plan(images: int, rates: Rates, side: TextSide, cpus: int, gpus: int = 0, tflops: float | None = None) -> Plan:
    """Multiply.

    CPUs decode, and without GPUs encode, too; then all of their parts add up. GPUs encode while CPUs decode.

    Args:
        images: how many pictures.
        rates: of one, as `measure_rates` has them.
        side: what is done with its feature, as `measure_text` has it.
        cpus: cores in all, as fast as those of this machine.
        gpus: in all; as fast as the one that the rates are of, or of so many `tflops`.
        tflops: 10^12 operations a second that each of the GPUs is assumed to reach; needed where there is none here.

    Raises:
        InputError: numbers out of range, or GPUs of which nothing is known.
    """
    for name, number in (("images", images), ("cpus", cpus)):
        if number < 1:
            raise InputError(f"{name}: expected 1 or more; got {number}.")
    check_gpus(gpus, tflops, not rates.device.startswith("cpu"))
    measured = f"measured here: {rates.device}, {rates.dtype}"
    if gpus and tflops is not None:
        on, seconds = "GPUs", [gflop / (1000 * tflops * gpus) for gflop in (rates.tower_gflop, side.gflop)]
        source = f"assumed (--tflops): {tflops:g} TFLOP/s on each of {gpus:,} GPUs"
    elif gpus:
        on, seconds = "GPUs", [ms / 1000 / gpus for ms in (rates.tower_ms, side.ms)]
        source = f"{measured}; assumed: {gpus:,} like it"
    else:
        on, seconds = "CPUs", [ms / 1000 * rates.threads / cpus for ms in (rates.tower_ms, side.ms)]
        source = f"{measured}, {rates.threads} threads; {_like(cpus)}"
    tower, text = seconds
    parts = [
        Part("decoding", "CPUs", images * rates.decode_ms / 1000 / cpus, f"measured here: one core; {_like(cpus)}"),
        Part("image tower", on, images * tower, source),
        Part("text side", on, images * text, source),
        Part("writing", "disk", images * rates.row_bytes / 1e6 / rates.write_mb_s, "measured here: one disk"),
    ]
    return Plan(images, parts, images * rates.picture_bytes, float(images * rates.row_bytes))


def check_gpus(gpus: int, tflops: float | None, is_here: bool) -> None:
    """Raise `InputError` for numbers out of range, or GPUs of which nothing is known; `is_here`: one is measured."""
    if gpus < 0:
        raise InputError(f"gpus: expected 0 or more; got {gpus}.")
    if tflops is not None and (not gpus or tflops <= 0):
        raise InputError(f"tflops: expected a rate above 0, of 1 GPU or more; got {tflops:g} of {gpus}.")
    if gpus and tflops is None and not is_here:
        raise InputError(
            f"gpus: expected the TFLOP/s that each of {gpus:,} GPUs reaches, because there is none here to measure. "
            "Give --tflops, such as a third of what the maker states for dense products."
        )


def _like(cpus: int) -> str:
    return f"assumed: {cpus:,} cores like it, no one else on them"
