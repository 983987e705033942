"""Columns of a user's table: which has the image's path, which the class and which the split."""

from collections.abc import Sequence

from cocoop.errors import InputError

_NAMES = {
    "path": ("file_name", "filename", "file", "file_path", "filepath", "image", "image_path", "image_name", "img"),
    "label": ("class", "class_name", "classname", "label_name", "category", "target"),
    "split": ("subset", "partition", "set"),
}
"""What a column is for, which is also its own name -> other names of it, without regard to case, "-" and blanks."""


def columns(where: str, seen: Sequence[str]) -> dict[str, str]:
    """What for -> the column as it is spelled: "path", "label" and, if there is one, "split".

    A column's own name goes before the others. `where` begins the message.

    Raises:
        InputError: no column for the path or the label, or two for one.
    """
    spelled = [column.strip().lower().replace(" ", "_").replace("-", "_") for column in seen]
    meant = {}
    for use, others in _NAMES.items():
        fitting = [c for c, name in zip(seen, spelled, strict=True) if name == use] or [
            c for c, name in zip(seen, spelled, strict=True) if name in others
        ]
        if len(fitting) > 1:
            raise InputError(
                f"{where}: expected one column for the {use}; got {' and '.join(map(repr, fitting))}. Call the one "
                f"that is meant {use}, and only that."
            )
        if fitting:
            meant[use] = fitting[0]
    if not {"path", "label"} <= meant.keys():
        raise InputError(
            f"{where}: expected the names of the columns, path,label or path,label,split; got "
            f"{', '.join(map(repr, seen)) or 'none'}. "
            f"Other names for path: {', '.join(_NAMES['path'])}; for label: {', '.join(_NAMES['label'])}."
        )
    return meant
