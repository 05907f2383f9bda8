"""Find or download the recipe's data, and determine its version."""

import io
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pandas as pd

from slipway_core.bundle import data_version, digest
from slipway_core.errors import SlipwayError
from slipway_core.storage import open_storage
from slipway_trainer.csv_checks import check_csv
from slipway_trainer.errors import DataRefusedError, DataUnavailableError, reason_of
from slipway_trainer.recipes import Recipe
from slipway_trainer.step_results import Dataset

# The folder in the trainer's image where the compose file mounts the data.
MOUNTED_DATA = "/data"


def extract(recipe: Recipe, *, data: str | Path | None, data_dir: str | Path, workdir: Path) -> Dataset:
    """Read the recipe's data.

    Args:
        recipe: the model's recipe.
        data: the requested file, or a folder that contains it; may be `s3://bucket/…`. Takes precedence.
        data_dir: where to search for the recipe's file otherwise: a folder, or `s3://bucket/prefix`.
        workdir: a folder into which the data is copied or downloaded.

    Raises:
        DataUnavailableError: the requested data does not exist, or the data cannot be downloaded.
        DataRefusedError: the file is incomplete or not CSV.
        StorageError: the storage rejected the call or failed.
    """
    file = workdir / recipe.data_file
    if found := _find(recipe, str(data or data_dir)):
        folder, path = found
        open_storage(folder).fetch(path, file)
        source = f"{folder.rstrip('/')}/{path}"
    elif data is not None:
        raise DataUnavailableError(
            f"{data} is neither a file nor a folder that contains {PurePosixPath(recipe.data_file).name}; pass the "
            f"path of a CSV file with --data{mount_hint(data_dir)}"
        )
    else:
        _fetch(recipe, workdir, data_dir)
        source = "the recipe's public source"
    content = file.read_bytes()
    return Dataset(_parse(recipe, content, source), data_version({recipe.data_file: digest(content)}), source)


def _find(recipe: Recipe, location: str) -> tuple[str, str] | None:
    """Find a recipe's file at a location, a file or a folder; return its folder and the path in it, or None."""
    at_place = PurePosixPath(recipe.data_file)
    within = []
    parent, _, name = location.rstrip("/").rpartition("/")
    if name not in {"", ".", "..", "~"} and not parent.endswith(":/"):
        within.append((parent or ("/" if location.startswith("/") else "."), name))
    # The recipe's own path, the model's folder, or the top folder.
    places = dict.fromkeys([str(at_place), f"{recipe.name}/{at_place.name}", at_place.name])
    within += [(location, path) for path in places]
    return next(((folder, path) for folder, path in within if open_storage(folder).exists(path)), None)


def mount_hint(data_dir: str | Path) -> str:
    """Return where a container finds the host's files, as the end of a sentence; empty outside a container."""
    if str(data_dir).rstrip("/") != MOUNTED_DATA:
        return ""
    return f" (the folder data/ of the repository is mounted as {MOUNTED_DATA})"


def _fetch(recipe: Recipe, workdir: Path, data_dir: str | Path) -> None:
    """Call the recipe's function that downloads its data, and report its exceptions in one sentence."""
    file = workdir / recipe.data_file
    place = f"{str(data_dir).rstrip('/')}/{recipe.name}/{file.name}"
    instead = f"put the file at {place}{mount_hint(data_dir)}, or pass its path with --data"
    if recipe.fetch is None:
        raise DataUnavailableError(f"{file.name}, the data of the recipe {recipe.name}, does not exist: {instead}")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        recipe.fetch(workdir)
    except DataUnavailableError as error:
        raise DataUnavailableError(f"{error}; {instead}") from error
    except SlipwayError:
        raise
    except Exception as error:  # a recipe's own code may raise anything
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise DataUnavailableError(
            f"the recipe {recipe.name} could not download its data ({reason}); {instead}"
        ) from error
    if not file.is_file():
        raise DataUnavailableError(f"the recipe {recipe.name} downloaded its data, but wrote no {recipe.data_file}")


def _parse(recipe: Recipe, content: bytes, source: str) -> pd.DataFrame:
    check_csv(content, source, [*recipe.feature_names, recipe.target.name])
    try:
        # Blank lines are read first and then dropped, so that the index still gives each row's line.
        frame = pd.read_csv(io.BytesIO(content), skip_blank_lines=False)
        texts = [*([recipe.target.name] if recipe.classes else []), *([] if recipe.is_matrix else recipe.feature_names)]
        # Labels and typed columns are text, even if they look like numbers; pandas would treat some as missing values.
        fields = pd.read_csv(
            io.BytesIO(content),
            skip_blank_lines=False,
            dtype="str",
            keep_default_na=False,
            usecols=[name for name in texts if name in frame.columns],
        )
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataRefusedError([_unreadable(error, source)]) from error
    blank = frame.isna().all(axis=1)
    for name in fields.columns:
        labels = fields[name]
        if recipe.classes and name == recipe.target.name:
            labels = labels.map(_canonical(recipe)).mask(labels == "")
        frame[name] = labels
    return frame[~blank]


def _canonical(recipe: Recipe) -> Callable[[str], str]:
    """Return a function that writes a label like `class_names`: programs write 1 as 1.0, and true as True."""
    kinds = {type(label) for label in recipe.classes}
    if kinds == {bool}:
        return lambda text: text.strip().lower()
    if kinds == {int}:
        return lambda text: text.strip().removesuffix(".0")
    return lambda text: text


def _unreadable(error: Exception, source: str) -> str:
    """Describe an error of pandas' parser, with line numbers that start at 1."""
    if found := re.search(r"EOF inside string starting at row (\d+)", str(error)):
        return f"a double quote in line {int(found[1]) + 1} of {source} is never closed; close or remove it"
    return f"{source} cannot be read as CSV: {reason_of(error)}; correct the file"
