"""Find the data of a new recipe, and write the recipe's file without overwriting another one."""

import os
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from slipway_core.errors import ConfigurationError
from slipway_core.storage import open_storage
from slipway_core.validation import did_you_mean
from slipway_trainer.errors import DataUnavailableError, UnknownRecipeError
from slipway_trainer.inference.reading import infer_recipe, model_name
from slipway_trainer.inference.writing import recipe_file, source_of, summary_of
from slipway_trainer.recipes import find_recipe, recipe_names

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)


def read_data(data: str, hint: str = "") -> bytes:
    """Return the content of a CSV file, local or `s3://bucket/…`.

    Args:
        data: its path.
        hint: the end of the sentence if it does not exist.

    Raises:
        DataUnavailableError: the file does not exist or cannot be read.
        StorageError: the storage rejected the call or failed.
    """
    if "://" in data:
        folder, _, name = data.rpartition("/")
        storage = open_storage(folder)
        if not storage.exists(name):
            raise DataUnavailableError(f"{data} does not exist; check the path")
        with TemporaryDirectory(prefix="slipway-data-") as workdir:
            storage.fetch(name, Path(workdir) / "data.csv")
            return (Path(workdir) / "data.csv").read_bytes()
    try:
        return Path(data).read_bytes()
    except FileNotFoundError as error:
        parent = Path(data).parent
        others = [file.name for file in parent.glob("*.csv")] if parent.is_dir() else []
        meant = did_you_mean(Path(data).name, others) or "; check the path"
        raise DataUnavailableError(f"{data} does not exist{meant}{hint}") from error
    except IsADirectoryError as error:
        raise DataUnavailableError(f"{data} is a folder; pass the path of the CSV file in it") from error
    except OSError as error:
        raise DataUnavailableError(f"{data} cannot be read: {error.strerror}") from error


def name_of(data: str, name: str | None) -> str:
    """Return a new model's name: the given one, or that of the data file.

    Raises:
        ConfigurationError: the name is invalid, or belongs to one of Slipway's recipes.
    """
    chosen = name or model_name(PurePosixPath(data).name)
    if not _NAME.fullmatch(chosen):
        raise ConfigurationError(
            f"{chosen!r} cannot be the name of a model: begin with a lower-case letter or a digit, and use only these, "
            "'.', '_' and '-', such as --name wine-quality"
        )
    if chosen in recipe_names():
        raise ConfigurationError(
            f"the name {chosen!r} belongs to one of Slipway's recipes; choose another with --name NAME"
        )
    return chosen


def default_path(data: str, name: str) -> Path:
    """Return where a model's recipe is written: beside the data, or in the working directory if that is read-only.

    Raises:
        ConfigurationError: neither folder can be written.
    """
    file = recipe_file(name)
    beside = [] if "://" in data else [Path(data).parent]
    for folder in (*beside, Path()):
        if (folder / file).exists() or os.access(folder, os.W_OK):
            return folder / file
    raise ConfigurationError(
        f"{file} cannot be written: neither the folder of {data} nor the working directory is writable; print the "
        "recipe with `slipway recipe new --output -`"
    )


def write_new(path: Path, source: str) -> None:
    """Write a recipe. An existing file with the same content is kept.

    Raises:
        ConfigurationError: another file exists, or the folder cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(source)
    except FileExistsError as error:
        if path.is_file() and path.read_bytes() == source.encode():
            return
        raise ConfigurationError(f"{path} already exists; choose another file with --output, or delete it") from error
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}; choose another file with --output"
        ) from error


def require_recipe(path: Path, target: str, name: str) -> None:
    """Check that an existing file is the recipe of a model with this target.

    Raises:
        UnknownRecipeError: it is another recipe, or another Python file.
    """
    other = "choose another name for the model with --name NAME, or move the file"
    # A script with the name of the data would otherwise run.
    if "slipway_trainer.recipes" not in path.read_text(encoding="utf-8", errors="replace"):
        raise UnknownRecipeError(f"{path} already exists and is not a recipe; {other}")
    recipe = find_recipe(str(path))
    for what, found, wanted in (("target", recipe.target.name, target), ("model", recipe.name, name)):
        if found != wanted:
            raise UnknownRecipeError(
                f"{path} already exists and is a recipe for the {what} {found!r}, not {wanted!r}; {other}"
            )


def recipe_for(
    data: str, content: bytes, target: str, name: str | None, registered: Collection[str] = ()
) -> tuple[Path, str]:
    """Return the path of the recipe of a CSV file, and a sentence about it. An existing recipe is used as it is.

    Args:
        data: the path of the file.
        content: the file.
        target: the column to predict.
        name: the model's name; None for that of the file.
        registered: the models of the registry. Only an explicit name adds a version to one of them.

    Raises:
        ConfigurationError: the name is invalid or belongs to another model, or the recipe cannot be written.
        DataRefusedError: the data is not suitable.
        UnknownRecipeError: the file of that name is not a recipe with this name and target.
    """
    model = name_of(data, name)
    path = default_path(data, model)
    if path.exists():
        require_recipe(path, target, model)
        return path, f"uses the existing {path}; to infer the recipe again, move that file"
    if name is None and model in registered:
        # A model of another recipe cannot be compared, so that the new version would replace it.
        raise ConfigurationError(
            f"the registry already has a model {model!r}, and {path} does not exist; choose another name with --name "
            f"NAME, or add a version to that model with --name {model}"
        )
    draft = infer_recipe(content, PurePosixPath(data).name, target, model)
    write_new(path, source_of(draft))
    return path, f"wrote {path}: {summary_of(draft)}"
