"""`Callback`: what is told how a fit goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cocoop.errors import InputError
from cocoop.results import Epoch


class Callback:
    """Told how a fit goes; a class of your own need not be a subclass, as long as it has `on_epoch_end`.

    What a method of it raises ends the fit as it is.
    """

    def on_fit_begin(self, facts: Mapping[str, Any]) -> None:
        """Before the first step. `facts`: parameters, numbers of the training and numbers of images, by name.

        Those of the method's own settings have names such as "settings.context".
        """

    def on_epoch_end(self, epoch: Epoch) -> None:
        """After each epoch: its number, learning_rate, loss, accuracy, seconds and validation_accuracy."""

    def on_fit_end(self, figures: Mapping[str, float]) -> None:
        """After the last step. `figures`: seconds, and of the epoch that was kept its number, loss and accuracies."""


def check_callbacks(callbacks: Iterable[Any]) -> None:
    """Raise `InputError` unless each is an object with an `on_epoch_end`."""
    for callback in callbacks:
        if isinstance(callback, type) or not callable(getattr(callback, "on_epoch_end", None)):
            got = f"the class {callback!r}. Give an instance of it" if isinstance(callback, type) else repr(callback)
            raise InputError(
                "callbacks: expected objects with a method on_epoch_end(epoch), such as cocoop.Callback has; got "
                f"{got}."
            )


def listed_callbacks(callbacks: Any) -> list[Any]:
    """The callbacks as a list. `InputError` for what has no items, such as one alone."""
    if not isinstance(callbacks, Iterable):
        raise InputError(f"callbacks: expected a list of them; got {callbacks!r}. Put it into brackets: [callback].")
    return list(callbacks)


def tell(callbacks: Iterable[Any], what: str, facts: Mapping[str, Any]) -> None:
    """Call `on_fit_begin` or `on_fit_end` of those that have it."""
    for callback in callbacks:
        told = getattr(callback, what, None)
        if told is not None:
            told(facts)
