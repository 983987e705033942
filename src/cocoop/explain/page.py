"""An explanation as one HTML page with pictures, which loads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from cocoop.class_names import prompt_name
from cocoop.explain.condition import Moved
from cocoop.explain.explanation import Explained, Explanation
from cocoop.explain.pictures import Seen
from cocoop.explain.tables import (
    EVIDENCE_SAYS_LITTLE,
    changes,
    images_table,
    prompts_table,
    shares_table,
    where,
    words_table,
)
from cocoop.reports import Table
from cocoop.reports.page.style import data_uri
from cocoop.reports.page.tables import html_table
from cocoop.reports.page.template import render
from cocoop.reports.page.whole import section, whole_page
from cocoop.reports.rounding import counted


class _Picture(NamedTuple):
    """An image as the template has it."""

    name: str
    called: str
    label: str
    percent: str
    where: str
    moved: str
    picture: str
    evidence: str


def explanation_page(explanation: Explanation, pictures: Sequence[Seen], command: str = "") -> str:
    """The page of an explanation and the pictures of its shown images, as `explain` gives both.

    Names of classes and files are escaped. `command` is what made the page, shown in it.
    """
    return whole_page(
        f"cocoop: {explanation.run} explained",
        f"{explanation.run}, explained",
        _lead(explanation),
        _facts(explanation, command),
        [*explanation.notes, *_unread(explanation)],
        [section(*part) for part in _parts(explanation, pictures)],
    )


def _lead(explanation: Explanation) -> str:
    about = f"{explanation.method}, {counted(len(explanation.class_names), 'class', 'classes')}"
    return f"{about}; {counted(len(explanation.images), 'image')}." if explanation.images else f"{about}."


def _facts(explanation: Explanation, command: str) -> dict[str, str]:
    told = {"CLIP": explanation.clip, "images": explanation.of, "mean of pi over": explanation.mean_of}
    return {name: text for name, text in {**told, "made by": command}.items() if text}


def _unread(explanation: Explanation) -> Iterator[str]:
    for unread in explanation.unread:
        yield f"not read: {unread.error}"


def _parts(explanation: Explanation, pictures: Sequence[Seen]) -> Iterator[tuple[str, str, Markup]]:
    """Anchors, titles and bodies."""
    words = None if explanation.words is None else words_table(explanation.words)
    yield "words", "Words", _part(words, "The method learns no context vectors.")
    table = shares_table(explanation) if explanation.shares else None
    yield "pi", "What an image adds", _part(table, "There is nothing to tell of pi; the lines above say why.")
    if explanation.prompts:
        yield "prompts", "With pi, with its mean, without it", _part(prompts_table(explanation), "")
    lacking = "No images were given. Name some behind the run, and this page shows them."
    if not explanation.shown:
        yield "images", "Images", _part(None, lacking)
        return
    yield "images", "Images", _contact_sheet(explanation, pictures)
    yield "figures", "Figures of these images", _part(images_table(explanation), "")


def _part(table: Table | None, lacking: str) -> Markup:
    return render("part.html", table="" if table is None else html_table(table), lacking=lacking)


def _contact_sheet(explanation: Explanation, pictures: Sequence[Seen]) -> Markup:
    order = "The images that pi moves most come first. " if explanation.prompts else ""
    about = (
        f"{order}Beside each, as the model sees it, where the evidence for its class lies: the deeper the orange, the "
        f"more, spread softly between the cells. {explanation.evidence}. {EVIDENCE_SAYS_LITTLE}"
    )
    shown = zip(explanation.shown, pictures, strict=True)
    return render("explained.html", about=about, images=[_picture(explanation.images[i], seen) for i, seen in shown])


def _picture(image: Explained, seen: Seen) -> _Picture:
    moved = image.moved
    return _Picture(
        name=image.image,
        called=prompt_name(image.predicted),
        label="" if image.label is None else prompt_name(image.label),
        percent=f"{100 * image.probability:.1f}",
        where=where(image),
        moved="" if moved is None else _moved(moved),
        picture=data_uri(seen.picture, "image/jpeg"),
        evidence=data_uri(seen.evidence, "image/jpeg"),
    )


def _moved(moved: Moved) -> str:
    return f"Pi moves the context by {moved.own:.2f} %. Percent by its mean, then by its own: {changes(moved)}."
