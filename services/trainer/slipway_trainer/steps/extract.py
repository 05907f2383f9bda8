"""Find the recipe's data, or fetch it, and say which version of it this is."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from slipway_core.bundle import data_version, digest
from slipway_core.errors import SlipwayError
from slipway_core.storage import open_storage
from slipway_trainer.errors import DataRefusedError, DataUnavailableError
from slipway_trainer.recipes import Recipe

# Where the trainer's image looks for data, and the compose file mounts it.
MOUNTED_DATA = "/data"
NEWLINE = b"\n"
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


def extract(recipe: Recipe, *, data: str | Path | None, data_dir: str | Path, workdir: Path) -> Dataset:
    """Read the recipe's data.

    Args:
        recipe: the model's recipe.
        data: the file given by hand, or the folder that holds it, `s3://bucket/…` too; it wins.
        data_dir: where the recipe's file is looked for next: a folder, or `s3://bucket/prefix`.
        workdir: a folder that the data is copied or fetched into.

    Raises:
        DataUnavailableError: what was given does not exist, or the data cannot be fetched.
        DataRefusedError: the file is not whole, or not CSV.
        StorageError: what holds it refused or failed.
    """
    file = workdir / recipe.data_file
    if found := _find(recipe, str(data or data_dir)):
        folder, path = found
        open_storage(folder).fetch(path, file)
        source = f"{folder.rstrip('/')}/{path}"
    elif data is not None:
        raise DataUnavailableError(
            f"{data} is no file, and no folder with {PurePosixPath(recipe.data_file).name} in it; give the path of a "
            f"CSV file with --data{_mount_hint(data_dir)}"
        )
    else:
        _fetch(recipe, workdir, data_dir)
        source = "the recipe's public source"
    content = file.read_bytes()
    return Dataset(_parse(recipe, content, source), data_version({recipe.data_file: digest(content)}), source)


def _find(recipe: Recipe, location: str) -> tuple[str, str] | None:
    """Return the folder and the path in it of a recipe's file, at a location that may be the file or a folder of it."""
    at_place = PurePosixPath(recipe.data_file)
    within = []
    parent, _, name = location.rstrip("/").rpartition("/")
    if name not in {"", ".", "..", "~"} and not parent.endswith(":/"):
        within.append((parent or ("/" if location.startswith("/") else "."), name))
    # At the recipe's place, under the model's name, or at the top.
    places = dict.fromkeys([str(at_place), f"{recipe.name}/{at_place.name}", at_place.name])
    within += [(location, path) for path in places]
    return next(((folder, path) for folder, path in within if open_storage(folder).exists(path)), None)


def _mount_hint(data_dir: str | Path) -> str:
    """Return where a container finds files of the host, as the end of a sentence; empty outside a container."""
    if str(data_dir).rstrip("/") != MOUNTED_DATA:
        return ""
    return f" (the folder data/ of the repository is mounted as {MOUNTED_DATA})"


def _fetch(recipe: Recipe, workdir: Path, data_dir: str | Path) -> None:
    """Have the recipe write its data; report what its code raises as a sentence."""
    file = workdir / recipe.data_file
    place = f"{str(data_dir).rstrip('/')}/{recipe.name}/{file.name}"
    instead = f"put the file at {place}{_mount_hint(data_dir)}, or give its path with --data"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        recipe.fetch(workdir)
    except DataUnavailableError as error:
        raise DataUnavailableError(f"{error}; {instead}") from error
    except SlipwayError:
        raise
    except Exception as error:  # a person's own code may raise anything
        raise DataUnavailableError(
            f"the recipe {recipe.name} could not fetch its data ({type(error).__name__}: {error}); {instead}"
        ) from error
    if not file.is_file():
        raise DataUnavailableError(f"the recipe {recipe.name} fetched its data, but wrote no {recipe.data_file}")


def _parse(recipe: Recipe, content: bytes, source: str) -> pd.DataFrame:
    _check_whole(content, source)
    try:
        # Blank lines are read and then left out, so that the index still tells each row's line.
        # Labels are text, even where they look like numbers.
        kinds = {recipe.target.name: "str"} if recipe.classes else None
        frame = pd.read_csv(io.BytesIO(content), skip_blank_lines=False, dtype=kinds)
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
    try:
        rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig", "replace"), newline="")) if row]
    except csv.Error as error:
        raise DataRefusedError([f"{source} cannot be read as CSV: {error}"]) from error
    header, last = (rows or [[]])[0], (rows or [[]])[-1]
    for separator, name in OTHER_SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            raise DataRefusedError([f"the columns of {source} are separated by {name}: write commas"])
    if len(last) < len(header):
        line = content.rstrip().count(NEWLINE) + 1
        sentence = (
            f"{source} is cut off: its last line, {line}, has {len(last)} values where the first has {len(header)} "
            "names; get the whole file again"
        )
        raise DataRefusedError([sentence])
    if len(rows) > 1 and not content.endswith((NEWLINE, b"\r")) and last[-1][-1:].isdigit():
        # 582.26 that was cut to 58 is a number, too.
        sentence = (
            f"{source} may be cut off within its last number: no line break comes after {last[-1]}; get the whole file "
            "again, or add a line break if it is whole"
        )
        raise DataRefusedError([sentence])
