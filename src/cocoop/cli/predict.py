"""`cocoop predict`."""

from pathlib import Path
from typing import Annotated

import typer

from cocoop.cli.common import (
    AsJson,
    Classes,
    Device,
    Dtype,
    ExifOption,
    FeatureCache,
    MemoryBudget,
    OtherClip,
    Plugins,
    RunFolder,
    Shortlist,
    Tokenizer,
    note,
    print_json,
    split_names,
)

Images = Annotated[list[Path], typer.Argument(help="Image files.")]
Top = Annotated[int, typer.Option(min=1, help="Print this many classes per image, best first.")]


def predict(
    run: RunFolder,
    images: Images,
    classes: Classes = None,
    top: Top = 1,
    shortlist: Shortlist = None,
    exif: ExifOption = None,
    feature_cache: FeatureCache = None,
    clip: OtherClip = None,
    tokenizer: Tokenizer = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory_budget: MemoryBudget = "auto",
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Classify image files: prints file, class and probability in percent, separated by tabs.

    Examples:
      cocoop predict my-run *.jpg
      cocoop predict my-run photo.jpg --classes "cat,dog,red panda" --top 3
    """
    from cocoop.classifier import Classifier
    from cocoop.methods.plugins import load_plugins
    from cocoop.rgb import chosen_exif

    load_plugins(plugin or ())
    classifier = Classifier.load(
        run, clip, tokenizer, device=device, dtype=dtype, memory_budget=memory_budget, feature_cache=feature_cache
    )
    classifier.exif = chosen_exif(exif, classifier.exif)
    if classes is not None:
        classifier.set_classes(split_names("--classes", classes, at_least=2))
    probabilities = classifier.predict_proba(images, shortlist)
    if shortlist is not None and shortlist < len(classifier.classes_):
        note(f"note: --shortlist {shortlist} is approximate, and probabilities are normalised over the shortlist")
    entries = []
    for path, row in zip(images, probabilities, strict=True):
        best = (-row).argsort(kind="stable")[:top]
        entries += [{"image": str(path), "class": str(classifier.classes_[k]), "probability": row[k]} for k in best]
    if as_json:
        print_json(entries)
        return
    for entry in entries:
        print(f"{entry['image']}\t{entry['class']}\t{100 * entry['probability']:.1f}")
