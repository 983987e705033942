"""The page's templates: the HTML files of this folder, which escape whatever is put into them."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cocoop.escapes import visible


def render(name: str, **values: object) -> Markup:
    """HTML of a template. Values are escaped, but for `Markup` and pictures, whose parts are escaped already; letters
    that are not `visible` are spelled out.

    Args:
        name: the file, such as "report.html".
        values: what the template calls by name; one that is missing is an error.
    """
    page = _environment().get_template(name).render(values)
    return Markup("\n".join(map(visible, page.split("\n"))))  # safe: autoescape is on


@cache
def _environment() -> Environment:
    loader = PackageLoader("cocoop.reports", "page")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
