"""Class names and labels that are names: how prompts spell them, and which of them cannot work.

At the bottom of the package, because both `data` and `methods` need the rule.
"""

import html
import math
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from reprlib import repr as shortened
from typing import Any

from cocoop.errors import InputError

_NUMBERS: tuple[tuple[type, Callable[[Any], bool]], ...] = (
    (bool, lambda value: True),
    (int, lambda value: -(2**63) <= value < 2**63),
    (float, math.isfinite),
)
"""Kinds of numbers, and which of each fit an array and a file."""


_BLANK = set("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and signs of Unicode that show nothing, beside those whose category says so."""


def prompt_name(name: str) -> str:
    """Spell a class name as it stands in a prompt: `_` becomes a space; blanks and case stay.

    Source: CoOp:trainers/cocoop.py and coop.py @ ff61507c, `name.replace("_", " ")`. A blank at the end counts after
    punctuation: "what? ." has other tokens than "what?.", in which "?." is one.
    """
    return name.replace("_", " ")


def in_a_list(name: str) -> str:
    """The name in a line of names: one with a comma has quotes around it, as in CSV and as `--classes` takes it."""
    return '"' + name.replace('"', '""') + '"' if "," in name else name


def composed(name: str) -> str:
    """The name in Unicode's composed form (NFC), in which equal looks are equal texts. Prompts are the same in both.

    "café" is one class, whether its é is one character or two, as the file systems of Macs write it.
    """
    return unicodedata.normalize("NFC", name)


def listed(given: Iterable[Any]) -> list[Any]:
    """Class names in the order given: of a list, an array, the keys of a dict, a generator.

    Raises:
        InputError: one text, or a set, whose order is another in the next process, or nothing that has items.
    """
    if isinstance(given, str | bytes | set | frozenset) or not isinstance(given, Iterable):
        raise InputError(f"class names: expected a list of names, in an order that stays; got {given!r}.")
    return list(given)


def plain_labels(labels: Sequence[Any], what: str = "labels") -> list[Any]:
    """The labels [N], each a name (`composed`) or a number, and all of one kind: those that a run folder can keep.

    `what` is what messages call them.

    Raises:
        InputError: a label is missing (None, NaN), bytes, a date or another object, more than one value, infinite, an
            integer of more than 64 bits, or of another kind than the first.
    """
    # Arrays, tensors and columns of tables have the method. Dates would become the integers of their nanoseconds.
    values = labels.tolist() if hasattr(labels, "tolist") and not _is_time(labels) else list(labels)
    plain = [plain_label(value, number, what) for number, value in enumerate(values)]
    for number, value in enumerate(plain):
        if type(value) is not type(plain[0]):
            raise InputError(
                f"{what}: expected all of one kind; got {plain[0]!r} ({type(plain[0]).__name__}) and, as number "
                f"{number}, {value!r} ({type(value).__name__}). Make all of them texts."
            )
    return plain


def plain_label(value: Any, number: int, what: str = "labels") -> Any:
    """The label number `number` of `plain_labels`; the same errors, but that of several kinds."""
    if getattr(value, "ndim", None) == 0 and not _is_time(value):  # a scalar of NumPy or torch
        value = value.item()
    if isinstance(value, list | tuple | dict | set) or getattr(value, "ndim", None):
        raise InputError(
            f"{what}: expected one name (or number) in every place; number {number}, counted from 0, is "
            f"{shortened(value)}."
        )
    if value is None or _is_missing(value):
        raise InputError(
            f"{what}: expected a name in every place; number {number}, counted from 0, is missing ({value!r}). Leave "
            "it out, image and all, or give it a name."
        )
    if isinstance(value, bytes):
        raise InputError(f"{what}: expected texts; got the bytes {value!r}. Decode them: label.decode().")
    if isinstance(value, str):
        return composed(value)
    for kind, can_be_kept in _NUMBERS:
        if isinstance(value, kind) and can_be_kept(value):
            return kind(value)
    raise InputError(
        f"{what}: expected texts or numbers (finite, of 64 bits), which a run folder can keep; got {shortened(value)} "
        f"({type(value).__name__}). Give str(label) instead."
    )


def _is_time(value: Any) -> bool:
    """Whether this is NumPy's date, time or duration, or an array or a column of such."""
    return getattr(getattr(value, "dtype", None), "kind", None) in ("M", "m")


def _is_missing(value: Any) -> bool:
    """Whether this is NaN, NaT or pandas' NA: what is not equal to itself, or will not say whether it is."""
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return True


def clean(text: str) -> str:
    """OpenAI's text clean-up: mend mojibake, unescape HTML twice, strip (openai/CLIP simple_tokenizer.py).

    Lower-casing and white-space collapsing are part of the tokenizer itself.
    """
    import ftfy  # not needed to import this package

    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def as_read(name: str) -> str:
    """What a prompt makes of a class name: `_` as space, `clean`, blanks collapsed, lower case."""
    return " ".join(clean(prompt_name(name)).split()).lower()


def check_spelling(names: Sequence[str]) -> None:
    """Raise `InputError` for what is no list of texts, an empty list, or a name that is empty or no Unicode text.

    A name counts as empty if nothing is to be seen of it once `_` is read as a space and the clean-up of prompts is
    done, as of "&nbsp;" or zero-width spaces. A folder whose name's bytes are not UTF-8 has a name that is no Unicode
    text: no file of a run could store it. NumPy's arrays of texts drop NUL at the end of one.
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InputError(f"class names: expected a list of texts; got {shortened(names)}.")
    if not names:
        raise InputError("class names: expected at least one; got an empty list. Give one name per class.")
    for name in names:
        if _is_blank(name):
            raise InputError(
                f"class names: expected words in every name; got {name!r}, of which a prompt shows nothing: '_' is "
                "read as a space. Rename that class."
            )
        if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in name):
            raise InputError(
                f"class names: expected Unicode text in every name; got {name!a}. Rename that class, in UTF-8 and "
                "without NUL."
            )


def _is_blank(name: str) -> bool:
    if "&" not in name and any(map(_is_word, name)):  # for speed: nearly all names
        return False
    seen = set(clean(prompt_name(name))) - _BLANK
    return all(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp") for letter in seen)


def _is_word(letter: str) -> bool:
    """Whether no clean-up makes nothing of it, as it may of Western letters, which other encodings are mistaken for."""
    return letter.isalnum() and not "\x7f" < letter < "\u0250" and letter not in _BLANK


def check_class_names(names: Sequence[str]) -> None:
    """Raise `InputError` unless every name can be told from every other in a prompt.

    Refused, beside what `check_spelling` refuses: two names that are equal after the clean-up of prompts
    (`as_read`; CLIP's tokenizer cleans, collapses and lower-cases too, so two such classes would get one and the same
    prompt). One class alone is allowed. ImageNet's own list fails:
    "missile" and "sunglasses" are in it twice.
    """
    check_spelling(names)
    seen: dict[str, str] = {}
    for name in names:
        key = as_read(name)
        if key in seen:
            raise InputError(
                f"class names: expected all different; got {seen[key]!r} and {name!r}, which read the "
                "same in a prompt. Rename or merge them."
            )
        seen[key] = name
