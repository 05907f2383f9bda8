"""Find the recipe's data, or fetch it, and say which version of it this is."""

import io
import re
from pathlib import Path, PurePosixPath

import pandas as pd

from slipway_core.bundle import data_version, digest
from slipway_core.errors import SlipwayError
from slipway_core.storage import open_storage
from slipway_trainer.csv_checks import check_csv
from slipway_trainer.errors import DataRefusedError, DataUnavailableError, reason_of
from slipway_trainer.recipes import Recipe
from slipway_trainer.step_results import Dataset

# Where the trainer's image looks for data, and the compose file mounts it.
MOUNTED_DATA = "/data"


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
            f"{data} is neither a file nor a folder that contains {PurePosixPath(recipe.data_file).name}; give the "
            f"path of a CSV file with --data{_mount_hint(data_dir)}"
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
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise DataUnavailableError(
            f"the recipe {recipe.name} could not fetch its data ({reason}); {instead}"
        ) from error
    if not file.is_file():
        raise DataUnavailableError(f"the recipe {recipe.name} fetched its data, but wrote no {recipe.data_file}")


def _parse(recipe: Recipe, content: bytes, source: str) -> pd.DataFrame:
    check_csv(content, source, [*recipe.feature_names, recipe.target.name])
    try:
        # Blank lines are read and then left out, so that the index still tells each row's line.
        # Labels are text, even where they look like numbers.
        kinds = {recipe.target.name: "str"} if recipe.classes else None
        frame = pd.read_csv(io.BytesIO(content), skip_blank_lines=False, dtype=kinds)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataRefusedError([_unreadable(error, source)]) from error
    if recipe.classes and recipe.target.name in frame.columns:
        # pandas takes labels such as `None` and `NA` for missing values.
        labels = pd.read_csv(
            io.BytesIO(content),
            skip_blank_lines=False,
            dtype="str",
            keep_default_na=False,
            usecols=[recipe.target.name],
        )[recipe.target.name]
        frame[recipe.target.name] = labels.mask(labels == "")
    return frame.dropna(how="all")


def _unreadable(error: Exception, source: str) -> str:
    """Return what pandas' parser found, with the line as people count it."""
    if found := re.search(r"EOF inside string starting at row (\d+)", str(error)):
        return f"a double quote in line {int(found[1]) + 1} of {source} is never closed; close or remove it"
    return f"{source} cannot be read as CSV: {reason_of(error)}; correct the file"
