"""`cocoop explain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cocoop.cli.common import (
    AsJson,
    Classes,
    ClassNames,
    DataRoot,
    Device,
    Dtype,
    ExifOption,
    FolderClasses,
    IncludeTraining,
    MemoryBudget,
    OtherClip,
    Plugins,
    RunFolder,
    Tokenizer,
    check_class_options,
    print_json,
    read_source,
    split_names,
)
from cocoop.errors import InputError, RunError
from cocoop.progress import note

if TYPE_CHECKING:
    from cocoop.classifier import Classifier
    from cocoop.explain import Explanation, Given, Seen

Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IMAGES",
        help="Labelled images, as `cocoop evaluate` takes them: a folder of folders, a manifest, a name; with these "
        "there are accuracies. Or pictures, as `cocoop predict` takes them. Without any the run alone is explained.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write one HTML page there, too, with the images and their evidence."),
]


def explain(
    run: RunFolder,
    images: Images = None,
    out: Out = None,
    data_root: DataRoot = None,
    class_names: ClassNames = None,
    classes: Classes = None,
    folder_classes: FolderClasses = False,
    include_training: IncludeTraining = False,
    exif: ExifOption = None,
    clip: OtherClip = None,
    tokenizer: Tokenizer = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory_budget: MemoryBudget = "auto",
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Say what a prompt learned, what each image changes in it, and where in a picture the evidence lies.

    Tables: the words nearest to the context vectors; how much of pi, which CoCoOp adds to them for each image, is the
    same for all images; accuracy with pi, with its mean and without it; the images that pi moves most. What does not
    apply to a method is said and left out.

    Examples:
      cocoop explain my-run
      cocoop explain my-run photos/ --out explained.html
      cocoop explain my-run photo.jpg --classes "cat,dog,red panda" --json
      cocoop explain owner/name 'photos/*.jpg' --out explained.html
    """
    from cocoop.classifier import Classifier
    from cocoop.explain import explain as explained
    from cocoop.methods.plugins import load_plugins
    from cocoop.protocols.cautions import other_classes
    from cocoop.results import check_file
    from cocoop.sharing import found_run

    check_class_options(classes, folder_classes)
    if out is not None:
        if out.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"--out: expected the name of a page, such as explained.html; got {out}.")
        check_file(out)
    load_plugins(plugin or ())
    machine = {"device": device, "dtype": dtype, "memory_budget": memory_budget}
    classifier = Classifier.load(found_run(run), clip, tokenizer, **machine)
    trained = classifier.classes_.tolist()
    if classes is not None:
        classifier.set_classes(split_names("--classes", classes, at_least=2))
    labelled = {
        "--folder-classes": folder_classes,
        "--include-training": include_training,
        "--class-names": class_names,
    }
    given = _given(classifier, images or (), data_root, labelled, exif)
    notes = list(other_classes(trained, classifier.model_.class_names))
    _tell(*explained(classifier, str(run), given, notes), out, as_json)


def _tell(explanation: Explanation, pictures: Sequence[Seen], out: Path | None, as_json: bool) -> None:
    """Print it, write the page, and end with an error where an image could not be read."""
    import shlex
    import sys

    from cocoop.escapes import for_stdout
    from cocoop.explain import explanation_page, explanation_tables
    from cocoop.reports import format_tables
    from cocoop.results import write_text

    for text in (*explanation.notes, *(unread.error for unread in explanation.unread)):
        note(f"note: {text}")
    if as_json:
        print_json(explanation.as_dict())
    elif tables := explanation_tables(explanation):
        print(for_stdout(format_tables(tables, "table")))
    if out is not None:
        write_text(out, explanation_page(explanation, pictures, shlex.join(["cocoop", *sys.argv[1:]])) + "\n")
        note(f"page: {out}")
    if explanation.unread:
        count = len(explanation.unread) + len(explanation.images)
        raise RunError(f"{len(explanation.unread):,} of {count:,} pictures could not be read.")


def _given(
    classifier: Classifier,
    sources: Sequence[str],
    data_root: Path | None,
    labelled: Mapping[str, Any],
    exif: str | None,
) -> Given | None:
    """The images of the sources, None without any; and the classifier opens them as is said, and as they are.

    `labelled` are the options that only labelled images have.
    """
    from cocoop.explain import dataset_given, is_labelled, pictures_given
    from cocoop.rgb import chosen_exif

    if is_labelled(sources):
        dataset = read_source(sources[0], data_root, labelled["--class-names"])
        classifier.exif = chosen_exif(exif, classifier.exif, dataset.exif)
        if labelled["--folder-classes"]:
            classifier.set_classes(dataset.class_names, allow_equal=True)
        return dataset_given(classifier, dataset, labelled["--include-training"])
    for option, given in labelled.items():
        if given:
            raise InputError(
                f"{option}: expected labelled images to go with it, a folder of folders or a manifest; got "
                f"{' '.join(sources) or 'no images'}. Leave it out, or name such."
            )
    classifier.exif = chosen_exif(exif, classifier.exif)
    return pictures_given(classifier, sources) if sources else None
