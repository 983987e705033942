"""`cocoop evaluate`."""

from typing import Annotated

import typer

from cocoop.cli.common import (
    AsJson,
    Classes,
    DataRoot,
    Device,
    Dtype,
    OtherClip,
    RunFolder,
    Source,
    note,
    print_json,
    split_names,
)


def evaluate(
    run: RunFolder,
    source: Source,
    data_root: DataRoot = None,
    classes: Classes = None,
    folder_classes: Annotated[
        bool,
        typer.Option("--folder-classes", help="Classify into the classes of these images, not those trained on."),
    ] = False,
    include_training: Annotated[
        bool, typer.Option("--include-training", help="Score the images it was trained on, too.")
    ] = False,
    clip: OtherClip = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a learned prompt on labelled images: accuracy, macro-F1, calibration, and every class.

    Where the images have a test split, that is scored, else all. Images it was trained on are recognised and left out.

    Examples:
      cocoop evaluate my-run photos/
      cocoop evaluate my-run other-photos.csv --folder-classes
      cocoop evaluate my-run imagenetv2 --data-root data/ --folder-classes
    """
    from cocoop.classifier import PromptClassifier
    from cocoop.data import read_dataset
    from cocoop.errors import InputError
    from cocoop.protocols import not_trained_on
    from cocoop.reports import text_table

    if classes is not None and folder_classes:
        raise InputError("--classes: expected nothing beside --folder-classes, which takes the images'. Give one.")
    dataset = read_dataset(source, data_root)
    examples = dataset.test or dataset.train
    classifier = PromptClassifier.load(run, clip, device, dtype)
    if folder_classes:
        classifier.set_classes(dataset.class_names, allow_equal=True)
    elif classes is not None:
        classifier.set_classes(split_names("--classes", classes))
    scored = examples if include_training else not_trained_on(classifier, examples)
    if not scored:
        raise InputError(
            f"{source}: expected images that {run} was not trained on; all {len(examples)} were. "
            "Give other images, or add --include-training."
        )
    paths, labels = [example.path for example in scored], [example.label for example in scored]
    metrics = classifier.evaluate(paths, labels, dataset.class_names)
    if len(scored) < len(examples):
        note(f"note: left out {len(examples) - len(scored):,} images that {run} was trained on")
    if as_json:
        print_json(metrics.as_dict())
        return
    figures = {
        "images": f"{metrics.n:,}",
        "accuracy, %": f"{metrics.accuracy:.2f}",
        "macro-F1, %": f"{metrics.macro_f1:.2f}",
        "mean per-class accuracy, %": f"{metrics.mean_per_class_accuracy:.2f}",
        "expected calibration error, %": f"{metrics.expected_calibration_error:.2f}",
    }
    print(text_table(["figure", "value"], [list(row) for row in figures.items()]))
    print()
    per_class = [[name, f"{value:.2f}"] for name, value in metrics.per_class_accuracy.items()]
    print(text_table(["class", "accuracy, %"], per_class))
