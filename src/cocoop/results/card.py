"""The README.md of a run folder: what was learned, from what, how well it did, and how to use it."""

from __future__ import annotations

from collections.abc import Iterable

from cocoop.class_names import in_a_list
from cocoop.escapes import markdown
from cocoop.results.pictures import CONFUSION, TRAINING
from cocoop.results.schema import Figures, RunConfig, RunRecord

_SHOWN_CLASSES = 20

_FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "mean_per_class_accuracy": "mean per-class accuracy",
    "expected_calibration_error": "expected calibration error",
}

_PICTURES = {
    TRAINING: "Loss and accuracy over the epochs of the training",
    CONFUSION: "Which classes were taken for which",
}

_CARD = """\
# A prompt of the method {method}

Classifies images into {count} classes ({names}) with the CLIP {clip}{tokenizer}.

| | |
|---|---|
{rows}

Rates in percent, rounded here; `record.json` has them unrounded, with the software and the machine.
{pictures}
```sh
cocoop predict {place} image.jpg
```

```python
import cocoop

classifier = cocoop.PromptClassifier.{load}("{place}")
classifier.predict(["image.jpg"])
```

## Limits

* The prompt belongs to the CLIP with the fingerprint `{fingerprint}`: on another it means nothing, and is refused.
* It sees what its CLIP sees, and has that one's biases.{measured}
"""


def model_card(config: RunConfig, record: RunRecord, pictures: Iterable[str] = (), hub_id: str | None = None) -> str:
    """Markdown for a run, with the pictures of these names in its folder, or in the hub's repository of this id."""
    names, tokenizer = config.class_names, config.parameters.tokenizer
    facts = {
        **_origin_rows(record),
        **({"data": markdown(record.dataset)} if record.dataset else {}),
        "training images": _known(record.training_images, ",d"),
        **({"images per class": f"at most {record.shots:,}"} if record.shots else {}),
        **_training_rows(record),
        "seed": _known(record.seed, "d"),
        "trainable parameters": f"{record.trainable_parameters:,}",
        "seconds": _known(record.seconds, ".1f"),
    }
    for test, figures in record.results.items():
        facts |= _test_rows(test, figures, record.zero_shot.get(test))
    if record.calibration is not None:
        facts["temperature (calibrated)"] = f"{record.calibration.temperature:.2f}"
    return _CARD.format(
        method=markdown(record.method),
        count=len(names),
        names=", ".join(map(escaped, names[:_SHOWN_CLASSES])) + (", ..." if len(names) > _SHOWN_CLASSES else ""),
        clip=markdown(record.clip),
        tokenizer=f" and the tokenizer {markdown(tokenizer)}" if tokenizer else "",
        rows="\n".join(f"| {markdown(name)} | {value} |" for name, value in facts.items()),
        place=hub_id or "this-folder",
        load="from_pretrained" if hub_id else "load",
        fingerprint=f"{record.clip_fingerprint[:12]}...",
        measured=_measured(record),
        pictures="".join(f"\n![{_PICTURES[name]}]({name})\n" for name in pictures),
    )


def _measured(record: RunRecord) -> str:
    """What the figures, if there are some, do not tell."""
    seed = "unknown" if record.seed is None else record.seed
    if not record.results:
        return "\n* No figures were kept with it: score it on images of your own (`cocoop evaluate`)."
    calibrated = "" if record.calibration else " Its probabilities are not calibrated."
    return (
        f"\n* The figures are of one training, with seed {seed}, and of images like those it learned from; other "
        f"images may give others.{calibrated}"
    )


def _known(number: float | None, form: str) -> str:
    return "unknown" if number is None else format(number, form)


def _origin_rows(record: RunRecord) -> dict[str, str]:
    """Where the prompt is from, if it was not learned here, and whether that fits this CLIP and these classes."""
    imported = record.imported
    if imported is None:
        return {}
    of = "" if imported.epoch is None else f", epoch {imported.epoch}"
    checked = "compared with this CLIP and these classes" if imported.checked else "not compared with this CLIP"
    return {"imported from": f"{markdown(imported.file)}{of} (SHA-256 {imported.sha256}), {checked}"}


def _training_rows(record: RunRecord) -> dict[str, str]:
    """What is not at its default: validation images, and what they and class weights decided."""
    rows: dict[str, str] = {}
    learning = record.learning
    if record.validation_images:
        rows["validation images"] = f"{record.validation_images:,}"
    if record.search is not None:
        chosen = ", ".join(f"{name} {value:.4g}" for name, value in record.search.settings.items())
        rows["chosen on the validation images"] = f"{chosen}, of {record.search.tried:,}"
    if learning is None:
        return rows
    if learning.keep != "last":
        rows["kept epoch"] = f"{record.kept_epoch}, counted from 0: the {learning.keep} on the validation images"
    if learning.patience is not None:
        rows["patience"] = f"{learning.patience} epoch{'s' * (learning.patience != 1)}"
    if learning.class_weight is not None:
        rows["class weight"] = learning.class_weight
    return rows


def _test_rows(test: str, figures: Figures, zero_shot: Figures | None) -> dict[str, str]:
    rows = {f"{test}: images": f"{figures.n:,}"}
    rows |= {f"{test}: {words}": f"{getattr(figures, name):.2f}" for name, words in _FIGURES.items()}
    if zero_shot is not None:
        rows[f"{test}: accuracy of zero-shot"] = f"{zero_shot.accuracy:.2f}"
    return rows


def escaped(name: str) -> str:
    """The name on one line, `in_a_list`, made harmless for Markdown."""
    return markdown(in_a_list(name))
