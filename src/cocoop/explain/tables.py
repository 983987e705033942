"""An explanation as tables, for a terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cocoop.class_names import prompt_name
from cocoop.explain.condition import Moved
from cocoop.explain.evidence import ABOUT
from cocoop.explain.explanation import Explained, Explanation
from cocoop.explain.words import Words
from cocoop.reports import Cell, Rate, Table
from cocoop.reports.rounding import counted

_VECTORS = 32
"""Of so many context vectors at most the words are shown; JSON has those of all."""

_NINTH = 100 / 9

WORDS_SAY_LITTLE = (
    "The nearest word is not what a vector means. Where it is hardly nearer than the median, or much farther than "
    "words are from each other, it says nothing; and where training began at that word, it says how far the vector "
    "has moved."
)
EVIDENCE_SAYS_LITTLE = (
    "It is a first-order guess from one pass: where the feature was gathered from, not what the model would do without "
    "it, and not whether it is right. Of several things in a picture it often does not single out the one that the "
    "class is of."
)


def explanation_tables(explanation: Explanation) -> list[Table]:
    """Words, what is the same in pi, the three prompts, the images that are shown; without those that are empty."""
    tables = []
    if explanation.words is not None:
        tables.append(words_table(explanation.words))
    if explanation.shares:
        tables.append(shares_table(explanation))
    if explanation.prompts:
        tables.append(prompts_table(explanation))
    if explanation.shown:
        tables.append(images_table(explanation))
    return tables


def words_table(words: Words) -> Table:
    """Each context vector, its nearest tokens, and how far others are."""
    rows: list[tuple[Cell, ...]] = [
        (
            vector.name,
            f"{vector.length:.3f}",
            ", ".join(f"{near.word} {near.distance:.3f}" for near in vector.nearest),
            f"{vector.median:.3f}",
        )
        for vector in words.vectors[:_VECTORS]
    ]
    notes = [
        f"Euclidean distances from the embeddings of {words.vocabulary:,} tokens, whose median length is "
        f"{words.length:.3f}. median: from the token in the middle of all. From a token to the nearest other it is "
        f"{words.apart:.3f}, the median of up to 512.",
        WORDS_SAY_LITTLE,
    ]
    if len(words.vectors) > _VECTORS:
        notes.insert(0, f"The first {_VECTORS} of {len(words.vectors):,} vectors; --json has all.")
    header = ("vector", "length", "nearest words", "median")
    return Table(header, rows, "Words nearest to the context vectors", notes=notes)


def shares_table(explanation: Explanation) -> Table:
    """How much of pi is the same for all images."""
    rows: list[tuple[Cell, ...]] = [
        (of.of, of.images, *(f"{value:.4f}" for value in (of.context, of.token, of.mean, of.own)), f"{of.shared:.1f}")
        for of in explanation.shares
    ]
    notes = (
        "Root mean square lengths of one context vector. context: v, the vectors as they were learned. pi: what is "
        "added to each of them for an image. own: pi without its mean over these images, so pi^2 = mean^2 + own^2. "
        "same: mean^2 of pi^2, which a context without pi could have learned, too.",
    )
    header = ("images", "number", "context", "pi", "mean", "own", "same, %")
    return Table(header, rows, "What an image adds to the context", notes=notes)


def prompts_table(explanation: Explanation) -> Table:
    """With pi, with its mean, without it."""
    scored = any(prompt.accuracy is not None for prompt in explanation.prompts)
    rows: list[tuple[Cell, ...]] = []
    for prompt in explanation.prompts:
        accuracy = [None if prompt.accuracy is None else Rate(prompt.accuracy)] if scored else []
        rows.append((prompt.name, *accuracy, Rate(prompt.same)))
    notes = [
        f"Of {explanation.of}: {len(explanation.images):,}. The mean is over {explanation.mean_of}.",
        "same class: percent of the images that get the class that they get with pi.",
    ]
    header = ("prompt", *(["accuracy, %"] if scored else []), "same class, %")
    return Table(header, rows, "With pi, with its mean and without it", notes=notes)


def images_table(explanation: Explanation) -> Table:
    """The images that are shown: what they are called, what the condition changed, and where the evidence lies."""
    images = [explanation.images[i] for i in explanation.shown]
    labelled, conditional = images[0].label is not None, images[0].moved is not None
    header = [
        "image",
        *(["is"] if labelled else []),
        "called",
        "%",
        *(["pi moves, %", "turns, deg", "changes, %", "changed most, %"] if conditional else []),
        "evidence",
    ]
    return Table(header, list(_image_rows(images)), _images_title(explanation), notes=[*_image_notes(conditional)])


def _images_title(explanation: Explanation) -> str:
    shown, images = len(explanation.shown), len(explanation.images)
    if shown == images:
        return counted(images, "image")
    how = "that pi moves most" if explanation.prompts else "in their order"
    return f"{shown} of {images:,} images, {'those' if explanation.prompts else 'the first'} {how}"


def _image_rows(images: Sequence[Explained]) -> Iterator[tuple[Cell, ...]]:
    for image in images:
        label = [] if image.label is None else [prompt_name(image.label)]
        condition = [] if image.moved is None else _condition_cells(image.moved)
        called = prompt_name(image.predicted)
        yield image.image, *label, called, f"{100 * image.probability:.1f}", *condition, where(image)


def _condition_cells(moved: Moved) -> list[Cell]:
    return [f"{moved.own:.2f}", f"{moved.turned:.2f}", f"{100 * moved.probability:.2f}", changes(moved)]


def changes(moved: Moved) -> str:
    """The classes that the condition changed most, with their probabilities by the mean and by the own pi, percent."""
    return ", ".join(
        f"{prompt_name(change.label)} {100 * change.by_mean:.1f} to {100 * change.own:.1f}" for change in moved.changed
    )


def where(image: Explained) -> str:
    """The ninth of the picture with the most evidence."""
    if image.strongest is None:
        return "none"
    return f"{image.strongest.name} {image.strongest.share:.0f} %"


def _image_notes(conditional: bool) -> Iterator[str]:
    yield "called: the most probable class, and its probability."
    if conditional:
        yield (
            "Against the prompts with the mean of pi. pi moves: the length of the image's own pi without that mean, of "
            "that of the context. turns: the angle between a class's text features by both, on average over the "
            "classes. changes: half of what all probabilities differ by. changed most: by the mean, to by its own."
        )
    yield f"evidence: the ninth of what the model sees that has most of it; evenly spread, each has {_NINTH:.0f} %."
    yield f"{ABOUT}."
    yield EVIDENCE_SAYS_LITTLE
