"""Class names: how prompts spell them, and which lists of them cannot work.

At the bottom of the package, because both `data` and `methods` need the rule.
"""

import html
from collections.abc import Sequence

from cocoop.errors import InputError


def prompt_name(name: str) -> str:
    """Spell a class name as it stands in a prompt: `_` becomes a space; blanks and case stay.

    Source: CoOp:trainers/cocoop.py and coop.py @ ff61507c, `name.replace("_", " ")`. A blank at the end counts after
    punctuation: "what? ." has other tokens than "what?.", in which "?." is one.
    """
    return name.replace("_", " ")


def clean(text: str) -> str:
    """OpenAI's text clean-up: mend mojibake, unescape HTML twice, strip (openai/CLIP simple_tokenizer.py).

    Lower-casing and white-space collapsing are part of the tokenizer itself.
    """
    import ftfy  # not needed to import this package

    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def check_spelling(names: Sequence[str]) -> None:
    """Raise `InputError` for what is no list of texts, an empty list, or a name that is empty or no Unicode text.

    Empty is a name once `_` is read as a space. No Unicode text are names of folders in bytes that are not UTF-8: no
    file of a run could keep them.
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InputError(f"class names: expected a list of texts; got {names!r}.")
    if not names:
        raise InputError("class names: expected at least one; got an empty list. Give one name per class.")
    for name in names:
        if not prompt_name(name).strip():
            raise InputError(
                f"class names: expected words in every name; got {name!r}, empty once '_' is read as a "
                "space. Rename that class."
            )
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise InputError(
                f"class names: expected Unicode text in every name; got {name!a}. Rename that class in UTF-8."
            )


def check_class_names(names: Sequence[str]) -> None:
    """Raise `InputError` unless every name can be told from every other in a prompt.

    Refused, beside what `check_spelling` refuses: two names that are equal after the clean-up of prompts
    (`_` as space, `clean`, blanks collapsed, case folded; CLIP's tokenizer cleans, collapses and lower-cases too,
    so two such classes would get one and the same prompt). One class alone is allowed. ImageNet's own list fails:
    "missile" and "sunglasses" are in it twice.
    """
    check_spelling(names)
    seen: dict[str, str] = {}
    for name in names:
        key = " ".join(clean(prompt_name(name)).split()).casefold()
        if key in seen:
            raise InputError(
                f"class names: expected all different; got {seen[key]!r} and {name!r}, which read the "
                "same in a prompt. Rename or merge them."
            )
        seen[key] = name
