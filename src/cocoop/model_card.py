"""The README.md of a run folder: what was learned, from what, how well it did, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN_CLASSES = 20

_SPELLING = {
    "held_out_images": "held-out images",
    "macro_f1": "macro-F1",
    "mean_per_class_accuracy": "mean per-class accuracy",
    "zero_shot_accuracy": "zero-shot accuracy",
}

_CARD = """\
# A prompt of the method {method}

Classifies images into {count} classes ({names}) with the CLIP `{clip}`.

| | |
|---|---|
{rows}

Rates in percent, rounded here; `record.json` has them unrounded, with the software and the machine.

```sh
cocoop predict this-folder image.jpg
```

```python
import cocoop

classifier = cocoop.PromptClassifier.load("this-folder")
classifier.predict(["image.jpg"])
```
"""


def model_card(config: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Markdown for a run with this `config.json` and `record.json`."""
    names = config["class_names"]
    figures = {name: value for name, value in record["results"].items() if isinstance(value, int | float)}
    facts = {
        "training images": f"{record['training_images']:,}",
        "seed": str(record["seed"]),
        "trainable parameters": f"{record['trainable_parameters']:,}",
        "seconds": f"{record['seconds']:.1f}",
    }
    facts |= {
        _SPELLING.get(name, name.replace("_", " ")): f"{value:.2f}" if isinstance(value, float) else f"{value:,}"
        for name, value in figures.items()
    }
    return _CARD.format(
        method=record["method"],
        count=len(names),
        names=", ".join(names[:_SHOWN_CLASSES]) + (", ..." if len(names) > _SHOWN_CLASSES else ""),
        clip=record["clip"],
        rows="\n".join(f"| {name} | {value} |" for name, value in facts.items()),
    )
