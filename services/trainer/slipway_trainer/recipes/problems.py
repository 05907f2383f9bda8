"""Describe the problems of a recipe in sentences that name its fields."""

import traceback
from pathlib import Path

from pydantic import BaseModel, ValidationError

from slipway_core.validation import did_you_mean, given, words_of

MAX_PROBLEMS = 5


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return a sentence for each field that a constructor rejects, misspelled fields first.

    Args:
        error: the constructor's exception.
        model: the class.
    """
    fields = list(model.model_fields)
    found = error.errors(include_url=False)
    unknown = [str(item["loc"][0]) for item in found if item["type"] == "extra_forbidden" and len(item["loc"]) == 1]
    sentences = []
    meant = ""
    for name in unknown:
        suggestion = did_you_mean(name, fields)
        meant += suggestion
        hint = suggestion or f"; its fields are {', '.join(fields)}"
        sentences.append(f"{model.__name__} has no field {name!r}{hint}")
    for item in found:
        place = ".".join(map(str, item["loc"]))
        if place in unknown or (item["type"] == "missing" and repr(place) in meant):
            continue
        if not place:
            sentences.append(words_of(item))
        elif item["type"] == "missing":
            sentences.append(f"{model.__name__} needs the field {place!r}")
        else:
            sentences.append(f"{model.__name__}: {place} {words_of(item)}{given(item)}")
    return sentences[:MAX_PROBLEMS]


def line_of(error: BaseException, path: Path) -> str:
    """Return ` (line N)` for the line of a file that raised an error; an empty text if no line did."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    return f" (line {lines[-1]})" if lines else ""
