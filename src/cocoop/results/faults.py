"""What is wrong with a record, in words."""

from __future__ import annotations

import json
from typing import Any

PROTOCOL_NAMES = ("base-to-new", "cross-dataset", "domain-generalization", "few-shot", "own-images")
"""The values of a record's "protocol", in the order of reports."""

RATES = ("accuracy", "macro_f1", "mean_per_class_accuracy", "expected_calibration_error")
"""The figures of a test that are percent."""

_NEEDED = {
    "protocol": str,
    "method": str,
    "clip": str,
    "clip_fingerprint": str,
    "seed": int,
    "settings": dict,
    "results": dict,
}
_OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "dataset": str,
    "shots": int,
    "zero_shot": dict,
    "environment": dict,
    "training_images": int,
    "trainable_parameters": int,
    "seconds": (int, float),
    "peak_memory_mb": (int, float),
}


def fault_of_file(error: BaseException) -> str:
    """Why a file could not be read as JSON, such as "it is empty"; `error` is what reading it raised."""
    if isinstance(error, json.JSONDecodeError):
        if not error.doc.strip():
            return "it is empty"
        # A string without an end is reported where it starts.
        if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
            return "it is cut off"
        return f"it is no JSON (line {error.lineno}, column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return "it is no UTF-8 text"
    if isinstance(error, OSError):
        return f"it cannot be read ({error.strerror})"
    return f"it holds {error}"  # NaN, which is not JSON


def fault_of_record(content: Any) -> str | None:
    """What is wrong with a record, such as "its 'seed' is None"; None if nothing is.

    A record without protocol and results becomes one of own images.
    """
    if not isinstance(content, dict):
        return f"it holds a {type(content).__name__}, not an object"
    if content.get("protocol") is None and not content.get("results"):
        content["protocol"] = "own-images"  # saved from Python without any test: a run without figures
    for name, kind in _NEEDED.items():
        if not isinstance(content.get(name), kind):
            return f"its {name!r} is {content.get(name)!r}"
    if content["protocol"] not in PROTOCOL_NAMES:
        return f"its 'protocol' is {content['protocol']!r}, not one of {', '.join(PROTOCOL_NAMES)}"
    for name, allowed in _OPTIONAL.items():
        if content.get(name) is not None and not isinstance(content[name], allowed):
            return f"its {name!r} is {content[name]!r}"
    tests = [*content["results"].items(), *(content.get("zero_shot") or {}).items()]
    return next(filter(None, (_fault_of_test(name, figures) for name, figures in tests)), None)


def _fault_of_test(name: str, figures: Any) -> str | None:
    if not isinstance(figures, dict):
        return f"its results of {name!r} are {figures!r}, not an object"
    for rate in RATES:
        value = figures.get(rate)
        if not isinstance(value, int | float) or not 0 <= value <= 100 + 1e-9:  # averages round
            return f"in its results of {name!r}, {rate!r} is {value!r}, not percent"
    classes, mistakes = figures.get("per_class_accuracy"), figures.get("mistakes", [])
    if not isinstance(classes, dict) or not all(isinstance(value, int | float) for value in classes.values()):
        return f"in its results of {name!r}, 'per_class_accuracy' is not percent by class"
    if not isinstance(mistakes, list) or not all(map(_is_mistake, mistakes)):
        return f"in its results of {name!r}, 'mistakes' are not of images, labels, predictions and confidences"
    count = figures.get("n")
    return None if count is None or isinstance(count, int) else f"in its results of {name!r}, 'n' is {count!r}"


def _is_mistake(mistake: Any) -> bool:
    return (
        isinstance(mistake, dict)
        and all(isinstance(mistake.get(name), str) for name in ("image", "label", "predicted"))
        and isinstance(mistake.get("confidence"), int | float)
    )
