"""Parquet files, whole or refused."""

from pathlib import Path
from typing import Any

import numpy as np

from policy.data.lerobot.packages import package
from policy.errors import InputError


def open_table(path: Path) -> Any:
    """A pyarrow.parquet.ParquetFile; `InputError` where it is not there or not whole."""
    parquet, arrow = package("pyarrow.parquet"), package("pyarrow")
    try:
        return parquet.ParquetFile(path)
    except FileNotFoundError:
        raise InputError(f"{path} is not there, and the data set names it; copy the data set again") from None
    except (arrow.ArrowException, OSError) as error:
        raise damaged(path, error) from None


def read_table(path: Path, columns: list[str]) -> dict[str, list[Any]]:
    """Columns of a small file, as Python values; `InputError` where one is missing."""
    arrow, file = package("pyarrow"), open_table(path)
    missing = [name for name in columns if name not in file.schema_arrow.names]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}, which the format asks for; it has "
            f"{', '.join(n for n in file.schema_arrow.names if not n.startswith('stats/'))}; copy the data set again"
        )
    try:
        table = file.read(columns=columns)
        return {name: table.column(name).to_pylist() for name in columns}
    except (arrow.ArrowException, OSError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> InputError:
    """What a file that cannot be read to its end is called."""
    why = str(error).splitlines()[0].rstrip(".")
    return InputError(
        f"{path} is no whole parquet file ({why}): it was cut off while it was written or copied; copy it again, or "
        "take the data set away"
    )


def numbers(column: Any) -> np.ndarray:
    """A column of numbers (N,), of lists of one length (N, n), or of texts, as numpy; ValueError for anything else."""
    arrow = package("pyarrow")
    array = arrow.concat_arrays(column.chunks) if hasattr(column, "chunks") else column
    if array.null_count:
        raise ValueError(f"{array.null_count} rows have no value")
    if arrow.types.is_list(array.type) or arrow.types.is_fixed_size_list(array.type):
        lengths = np.unique(np.asarray(array.value_lengths()))
        if len(lengths) > 1:  # whose total may fit, and whose numbers would be those of other rows
            raise ValueError(f"rows of {lengths[0]} to {lengths[-1]} values")
        return np.asarray(array.flatten()).reshape(len(array), *lengths)
    return np.asarray(array.to_numpy(zero_copy_only=False))
