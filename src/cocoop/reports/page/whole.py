"""A whole page: what stands above its sections, and these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from cocoop.reports.page.style import css_colors
from cocoop.reports.page.tables import html_cautions
from cocoop.reports.page.template import render

Section = tuple[str, str, Markup]
"""The anchor of a section, its title, and its HTML."""


def whole_page(
    title: str, heading: str, lead: str, facts: Mapping[str, str], cautions: Sequence[str], sections: Sequence[Section]
) -> Markup:
    """HTML of a page, which loads nothing. All but the sections is escaped.

    Args:
        title: of the window.
        heading: of the page.
        lead: one sentence below it.
        facts: what else is to be known, by name.
        cautions: what to know before figures.
        sections: in their order, which the contents list, too.
    """
    return render(
        "report.html",
        title=title,
        heading=heading,
        light=css_colors(dark=False),
        dark=css_colors(dark=True),
        lead=lead,
        facts=facts,
        cautions=html_cautions(cautions),
        contents={anchor: title for anchor, title, _ in sections},
        sections=[html for _, _, html in sections],
    )


def section(anchor: str, title: str, body: Markup) -> Section:
    """A section of a title and its body."""
    return anchor, title, render("section.html", anchor=anchor, title=title, body=body)
