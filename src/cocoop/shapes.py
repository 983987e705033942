"""Shape checks at public doors, written in the project's axis letters (B images, K classes, E joint width, ...)."""

from typing import Protocol

from cocoop.errors import InputError


class _Shaped(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...


def expect_shape(what: str, array: _Shaped, **axes: int | None) -> None:
    """Raise `InputError` unless `array` has exactly the named axes, in order.

    `expect_shape("image_features", x, B=None, E=512)` accepts any [B, 512]; `None` leaves a length free.
    """
    got = tuple(array.shape)
    wanted = list(axes.values())
    if len(got) == len(wanted) and all(w is None or w == g for w, g in zip(wanted, got, strict=True)):
        return
    letters = ", ".join(name if length is None else f"{name}={length}" for name, length in axes.items())
    raise InputError(f"{what}: expected shape [{letters}]; got {list(got)}.")
