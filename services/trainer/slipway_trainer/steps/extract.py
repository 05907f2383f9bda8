"""Find the recipe's data, or fetch it, and say which version of it this is."""

import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from slipway_core.bundle import data_version, digest
from slipway_trainer.errors import DataRefusedError
from slipway_trainer.recipes import Recipe


@dataclass(frozen=True)
class Dataset:
    """A recipe's data as it was found.

    Attributes:
        frame: every row and column of the file; the index counts its lines from the second.
        version: see `slipway_core.bundle.data_version`.
        source: where it comes from, for people.
    """

    frame: pd.DataFrame
    version: str
    source: str


def extract(recipe: Recipe, *, data: Path | None, data_dir: Path, workdir: Path) -> Dataset:
    """Read the recipe's data.

    Args:
        recipe: the model's recipe.
        data: the file given by hand, which wins.
        data_dir: where the recipe's file is looked for next, under the recipe's name or at the top.
        workdir: a folder that the data is fetched into where neither has it.

    Raises:
        DataRefusedError: the file given does not exist or cannot be read as CSV.
    """
    places = [data] if data else [data_dir / recipe.name / recipe.data_file, data_dir / recipe.data_file]
    path = next((place for place in places if place.is_file()), None)
    if path is None and data is not None:
        raise DataRefusedError([f"{data} is not a file; give the path of a CSV file with --data"])
    if path is None:
        recipe.fetch(workdir)
        path, source = workdir / recipe.data_file, "the recipe's public source"
    else:
        source = str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataRefusedError([f"{path} cannot be read: {error.strerror}"]) from error
    try:
        # Blank lines are read and then left out, so that the index still tells each row's line.
        frame = pd.read_csv(io.BytesIO(content), skip_blank_lines=False)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataRefusedError([f"{path} cannot be read as CSV: {error}"]) from error
    if not isinstance(frame.index, pd.RangeIndex):
        # pandas would take what is too much for an index, and shift the columns.
        raise DataRefusedError([f"the rows of {path} have more values than its first line has names"])
    frame = frame.dropna(how="all")
    return Dataset(frame, data_version({recipe.data_file: digest(content)}), source)
