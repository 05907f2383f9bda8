"""Find the recipe's data, or fetch it, and say which version of it this is."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from slipway_core.bundle import data_version, digest
from slipway_trainer.errors import DataRefusedError, DataUnavailableError
from slipway_trainer.recipes import Recipe

OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


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
        data: the file given by hand, or the folder that holds it; it wins.
        data_dir: where the recipe's file is looked for next.
        workdir: a folder that the data is fetched into where neither has it.

    Raises:
        DataUnavailableError: what was given does not exist, or the data cannot be fetched.
        DataRefusedError: the file is not whole, or not CSV.
    """
    path = _find(recipe, data) if data else next(filter(Path.is_file, _places(recipe, data_dir)), None)
    source = str(path)
    if path is None:
        recipe.fetch(workdir)
        path, source = workdir / recipe.data_file, "the recipe's public source"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataUnavailableError(f"{path} cannot be read: {error.strerror}") from error
    return Dataset(_parse(content, source), data_version({recipe.data_file: digest(content)}), source)


def _places(recipe: Recipe, folder: Path) -> list[Path]:
    """Return where a folder may hold the data: at the recipe's place, under the model's name, or at the top."""
    name = Path(recipe.data_file).name
    return list(dict.fromkeys([folder / recipe.data_file, folder / recipe.name / name, folder / name]))


def _find(recipe: Recipe, data: Path) -> Path:
    if data.is_dir():
        places = _places(recipe, data)
        found = next(filter(Path.is_file, places), None)
        if found is None:
            raise DataUnavailableError(
                f"the folder {data} holds no {places[-1].name}; give the file's path with --data"
            )
        return found
    if not data.is_file():
        raise DataUnavailableError(f"{data} is not a file; give the path of a CSV file with --data")
    return data


def _parse(content: bytes, source: str) -> pd.DataFrame:
    _check_whole(content, source)
    try:
        # Blank lines are read and then left out, so that the index still tells each row's line.
        frame = pd.read_csv(io.BytesIO(content), skip_blank_lines=False)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataRefusedError([f"{source} cannot be read as CSV: {str(error).strip()}"]) from error
    if not isinstance(frame.index, pd.RangeIndex):
        # pandas would take what is too much for an index, and shift the columns.
        raise DataRefusedError([f"the rows of {source} have more values than its first line has names"])
    return frame.dropna(how="all")


def _check_whole(content: bytes, source: str) -> None:
    """Refuse a file that ends within a row: pandas would fill the row up."""
    if b"\0" in content:
        raise DataRefusedError([f"{source} is not a text file; give a CSV file in UTF-8"])
    first, *rest = content.rstrip().split(b"\n") or [b""]
    header = first.decode(errors="replace")
    if len(_cells(header)) == 1:
        for separator, name in OTHER_SEPARATORS.items():
            if separator in header:
                raise DataRefusedError([f"the columns of {source} are separated by {name}: write commas"])
    last = rest[-1].decode(errors="replace") if rest else header
    found, expected = len(_cells(last)), len(_cells(header))
    if found < expected:
        sentence = (
            f"{source} is cut off: its last line, {len(rest) + 1}, has {found} values where the first has {expected} "
            "names; get the whole file again"
        )
        raise DataRefusedError([sentence])


def _cells(line: str) -> list[str]:
    return next(csv.reader([line]), [])
