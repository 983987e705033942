"""MATLAB files. They come from strangers: whatever is wrong with one is an `InputError`, not a crash."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cocoop.data.papers.raw.mat_tags import check_tags
from cocoop.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_mat(path: Path, name: str, fields: tuple[str, ...] = ()) -> NDArray[Any]:
    """The variable `name` of the MATLAB file `path`, flat: [N] cells, or [N] structs that have `fields`.

    `InputError`: no such file, not readable as a MATLAB file, no such variable, or a struct without a field.
    """
    import numpy as np
    from scipy.io import loadmat

    expected = f"{path}: expected a MATLAB file with the variable {name!r}"
    expected += f" of structs with the fields {', '.join(fields)}" if fields else ""
    try:
        whole = path.read_bytes()
        check_tags(whole)
        content = loadmat(BytesIO(whole))
    except FileNotFoundError as error:
        raise InputError(f"{expected}; there is no such file.") from error
    except Exception as error:  # damaged bytes make SciPy raise nearly anything: zlib.error, struct.error, KeyError..
        raise InputError(f"{expected}; got {type(error).__name__}: {error}.") from error
    variable = content.get(name)
    if not isinstance(variable, np.ndarray):
        variables = sorted(key for key in content if not key.startswith("__"))
        raise InputError(f"{expected}; got the variables {', '.join(variables) or '(none)'}.")
    missing = [field for field in fields if field not in (variable.dtype.names or ())]
    if missing:
        raise InputError(f"{expected}; got none of the name {missing[0]!r}.")
    return variable.ravel()


def mat_text(cell: object, where: str) -> str:
    """The text of one cell; `InputError` with `where` if it holds anything else."""
    value = _only(cell)
    if not isinstance(value, str):
        raise InputError(f"{where}: expected text; got {value!r}.")
    return value


def mat_number(cell: object, where: str) -> int:
    """The whole number of one cell, of any numeric type; `InputError` with `where` if it holds anything else."""
    value = _only(cell)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value % 1 != 0:
        raise InputError(f"{where}: expected a whole number; got {value!r}.")
    return int(value)


def _only(cell: Any) -> object:
    return cell.item() if getattr(cell, "size", 0) == 1 else cell
