"""Arrays in npz files, which may come from outside or be damaged."""

from pathlib import Path

import numpy as np

from radsynth.common.errors import UserError


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Return all arrays of an npz file by name; UserError if it is missing, damaged or holds pickled objects."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
            if foreign := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
                raise ValueError(f"{foreign[0]} is no array")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except Exception as error:  # of nearly any kind, depending on the bytes that are wrong
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a readable npz file of plain arrays, without pickles ({reason})") from None
    return arrays
