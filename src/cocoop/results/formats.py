"""`record.json` and `config.json` of this format and of those before, as their dataclasses."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from cocoop.results.schema import FORMAT, Epoch, Learning, RunConfig, RunRecord
from cocoop.results.typed import MistypedError, from_json

_RECORD_OF_1: dict[str, Any] = {
    "tokenizer": None,
    "class_tokens": None,
    "device": None,
    "dtype": None,
    "dataset": None,
    "zero_shot": {},
    "peak_gpu_memory_mb": None,
    "prompt_from": None,
    "trial": None,
}
"""What a record of format 1 need not have, and what that means."""

_FIGURES_OF_1: dict[str, Any] = {"dataset": None, "test_hash": None, "mistakes": []}
_PARAMETERS_OF_1: dict[str, Any] = {"views": None, "view_seed": None, "tokenizer": None}
_FIGURES_OF_2: dict[str, Any] = {"exif": "original"}
_PARAMETERS_OF_2: dict[str, Any] = {"exif": "ignore", "keep": "last", "patience": None, "class_weight": None}
_RECORD_OF_2: dict[str, Any] = {"kept_epoch": None, "validation_images": 0, "validated_on": [], "calibration": None}
"""What format 2 need not have: it left photos as they were stored, and converted all pictures as the original does."""

_RECORD_OF_3: dict[str, Any] = {"together": None}
"""What format 3 need not have."""

_RECORD_OF_4: dict[str, Any] = {"reliability": None, "search": None, "processes": 1, "imported": None}
_TRIAL_OF_4: dict[str, Any] = {"names": "own", "template": None, "draw": "even", "calibration": None, "coverage": None}
_FIGURES_OF_4: dict[str, Any] = {"classes": None}
_FIT_OF_4: dict[str, Any] = {"classwise_calibration_error": None}
_PARAMETERS_OF_4: dict[str, Any] = {"search": False}
"""What format 4 need not have: all trials learned evenly drawn images under the data set's own words."""

_SETTINGS_OF_1 = ("context", "context_length", "class_specific", "class_position", "templates")
"""Parameters of a classifier that belong to its `settings` now."""
_LEARNING = {field.name: field.default for field in fields(Learning)}
"""What formats 1 and 2 kept among the settings of a method that was trained, if they knew it, and what it is if not."""


def record_from_json(content: Any) -> RunRecord:
    """What `record.json` says. `MistypedError` where it is damaged, or of a later format than `FORMAT`."""
    if isinstance(content, dict) and "format" not in content:
        content = _record_of_format_1(content)
    if isinstance(content, dict) and content["format"] == 2:
        content = _record_of_format_2(content)
    if isinstance(content, dict) and content["format"] == 3:
        content = {**_RECORD_OF_3, **content, "format": 4}
    if isinstance(content, dict) and content["format"] == 4:
        content = _record_of_format_4(content)
    _check_format(content)
    return from_json(RunRecord, content)


def config_from_json(content: Any) -> RunConfig:
    """What `config.json` says; errors as in `record_from_json`."""
    if isinstance(content, dict) and content.get("format") == 1:
        content = _config_of_format_1(content)
    if isinstance(content, dict) and content.get("format") == 2:
        content = _config_of_format_2(content)
    if isinstance(content, dict) and content.get("format") == 3:
        content = {**content, "format": 4}
    if isinstance(content, dict) and content.get("format") == 4:
        parameters = _completed(content.get("parameters"), _PARAMETERS_OF_4)
        content = {**content, "format": 5, "parameters": parameters}
    _check_format(content)
    return from_json(RunConfig, content)


def epoch_from_json(content: Any) -> Epoch:
    """A line of `metrics.jsonl`, which states no format: that of formats 1 and 2 has no validation; errors as above."""
    return from_json(Epoch, _completed(content, {"validation_accuracy": None}))


def _check_format(content: Any) -> None:
    if isinstance(content, dict) and content.get("format") != FORMAT:
        form = content.get("format")
        raise MistypedError(f"its 'format' is {form!r}, not 1 to {FORMAT}: use the version that wrote it")


def _record_of_format_1(content: dict[str, Any]) -> dict[str, Any]:
    """Format 1 left out what a run had nothing to say about; a run saved without any test had no protocol."""
    unscored = {} if content.get("results") else {"protocol": "own-images"}
    return _with_figures({"format": 2, **_RECORD_OF_1, **unscored, **content}, _FIGURES_OF_1)


def _record_of_format_2(content: dict[str, Any]) -> dict[str, Any]:
    """Format 2 kept the numbers of the training, if there was one, among the settings."""
    settings, learning = content.get("settings"), None
    if isinstance(settings, dict) and "epochs" in settings:
        defaults = {name: default for name, default in _LEARNING.items() if default is not MISSING}
        learning = defaults | {name: settings[name] for name in _LEARNING if name in settings}
        settings = {name: value for name, value in settings.items() if name not in _LEARNING}
    record = {**_RECORD_OF_2, **content, "format": 3, "settings": settings, "learning": learning}
    return _with_figures(record, _FIGURES_OF_2)


def _record_of_format_4(content: dict[str, Any]) -> dict[str, Any]:
    """Format 4 knew the calibration error of the top class alone, in a record's calibration."""
    record = {**_RECORD_OF_4, **content, "format": 5}
    record = _with_figures(record, _FIGURES_OF_4)
    record["trial"] = _completed(record.get("trial"), _TRIAL_OF_4)
    calibration = record.get("calibration")
    if isinstance(calibration, dict):
        fits = {name: _completed(calibration.get(name), _FIT_OF_4) for name in ("before", "after")}
        record["calibration"] = {**calibration, **fits}
    return record


def _config_of_format_2(content: dict[str, Any]) -> dict[str, Any]:
    parameters = content.get("parameters")
    return {**content, "format": 3, "parameters": _completed(parameters, _PARAMETERS_OF_2)}


def _config_of_format_1(content: dict[str, Any]) -> dict[str, Any]:
    """Format 1 kept the settings of all methods among the parameters; here are those of the method that learned."""
    config, parameters, own = {**content, "format": 2}, content.get("parameters"), content.get("settings")
    if isinstance(parameters, dict) and isinstance(own, dict):
        settings = {name: parameters[name] for name in _SETTINGS_OF_1 if name in own and name in parameters}
        rest = {name: value for name, value in parameters.items() if name not in _SETTINGS_OF_1}
        config["parameters"] = {"settings": settings, **_PARAMETERS_OF_1, **rest}
    return config


def _with_figures(record: dict[str, Any], lacking: dict[str, Any]) -> dict[str, Any]:
    for name in ("results", "zero_shot"):
        if isinstance(record.get(name), dict):
            record[name] = {test: _completed(figures, lacking) for test, figures in record[name].items()}
    return record


def _completed(part: Any, lacking: dict[str, Any]) -> Any:
    return {**lacking, **part} if isinstance(part, dict) else part
