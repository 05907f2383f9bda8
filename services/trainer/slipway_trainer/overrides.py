"""`--set name=value`: change a recipe for one training run."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from slipway_core.validation import did_you_mean, given, words_of
from slipway_trainer.errors import OverrideError, reason_of
from slipway_trainer.recipes import Candidate, Recipe

SETTABLE = (
    *("split", "split_key", "test_fraction", "folds", "seed", "register_all"),
    *("metric", "positive_class", "threshold", "quantile", "max_regression"),
    *("min_rows", "min_rows_share", "min_class_share", "max_duplicate_share", "min_skill", "leakage_score"),
)
CANDIDATES = "candidates"
LIMITS = ("floors", "ceilings")
# Labels may look like numbers.
LABEL = "positive_class"
# The recipe's field and the parameter of scikit-learn's estimators have the same name and meaning.
QUANTILE = "quantile"


def override(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return a recipe with changed values.

    Args:
        recipe: the recipe to change.
        settings: `name=value` texts. A name is a field of the recipe (`split`, `seed`, …), `floors.METRIC`,
            `ceilings.METRIC`, `candidates` (names separated by commas), a parameter of one candidate
            (`random-forest.max_depth`), or of all candidates that have it (`max_depth`). A value is JSON, otherwise
            text. A parameter with a value here is excluded from the search.

    Raises:
        OverrideError: a name is unknown, or a value is invalid.
    """
    changes: dict[str, Any] = {}
    limits = {kind: dict(getattr(recipe, kind)) for kind in LIMITS}
    candidates = list(recipe.candidates)
    for setting in settings:
        name, found, text = setting.partition("=")
        name = name.strip()
        if not (found and name):
            raise OverrideError(f"{setting!r} is not name=value; write it as --set seed=7")
        value = _value(text.strip())
        kind, dot, metric = name.partition(".")
        if name in SETTABLE:
            is_label = name == LABEL and not isinstance(value, str | None)
            changes[name] = text.strip() if is_label else value
            if name == QUANTILE and any(name in {*c.parameters, *c.search} for c in candidates):
                candidates = _with_parameter(candidates, name, value)
        elif dot and kind in LIMITS:
            limits[kind][metric] = value
        elif name == CANDIDATES:
            candidates = _chosen(candidates, text)
        else:
            candidates = _with_parameter(candidates, name, value)
            for candidate in candidates:
                _check(candidate, name.rpartition(".")[2], recipe)
    fields = {name: getattr(recipe, name) for name in Recipe.model_fields}
    try:
        return Recipe(**{**fields, **changes, **limits, "candidates": tuple(candidates)})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise OverrideError(f"{place}: {words_of(first)}{given(first)}" if place else words_of(first)) from error


def _value(text: str) -> Any:  # noqa: ANN401  # any JSON value
    try:
        return json.loads(text)
    except ValueError:
        return text


def _chosen(candidates: Sequence[Candidate], text: str) -> list[Candidate]:
    by_name = {candidate.name: candidate for candidate in candidates}
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in by_name]:
        raise OverrideError(
            f"unknown candidate {unknown[0]!r}{did_you_mean(unknown[0], by_name) or ';'} the candidates are "
            f"{', '.join(by_name)}"
        )
    return [by_name[name] for name in dict.fromkeys(names)]


def _check(candidate: Candidate, parameter: str, recipe: Recipe) -> None:
    """Build the estimator once, to reject an unknown parameter before the training."""
    try:
        candidate.build(candidate.parameters, recipe.seed)
    except Exception as error:  # a recipe's own code may raise anything
        known = _parameters_of(recipe, candidate.name)
        if parameter not in known and parameter in str(error):
            raise OverrideError(
                f"{candidate.name} has no parameter {parameter!r}{did_you_mean(parameter, known)}"
            ) from error
        raise OverrideError(f"{candidate.name} cannot be built: {reason_of(error)}") from error


def _parameters_of(recipe: Recipe, name: str) -> set[str]:
    """Return the parameters of a candidate's estimator and its parts that scikit-learn lists."""
    [own] = [candidate for candidate in recipe.candidates if candidate.name == name]
    try:
        return {key.rpartition("__")[2] for key in own.build(own.parameters, recipe.seed).get_params()}
    except Exception:  # noqa: BLE001  # then the error has no suggestion
        return set()


def _with_parameter(candidates: Sequence[Candidate], name: str, value: Any) -> list[Candidate]:  # noqa: ANN401
    owner, dot, parameter = name.rpartition(".")

    def is_meant(candidate: Candidate) -> bool:
        # With the candidate's name, parameters that the recipe leaves at their default can be set, too.
        return candidate.name == owner if dot else parameter in {*candidate.parameters, *candidate.search}

    if not any(is_meant(candidate) for candidate in candidates):
        own = [f"{c.name}.{key}" for c in candidates for key in dict.fromkeys([*c.parameters, *c.search])]
        names = [*SETTABLE, CANDIDATES, *(f"{kind}.METRIC" for kind in LIMITS), *own]
        near = did_you_mean(name, [*names, *(one.partition(".")[2] for one in own)])
        listed = f"; the names are {', '.join(names)}"
        raise OverrideError(f"{name!r} cannot be set{near or listed}")
    return [
        candidate.model_copy(
            update={
                "parameters": {**candidate.parameters, parameter: value},
                "search": {key: values for key, values in candidate.search.items() if key != parameter},
            }
        )
        if is_meant(candidate)
        else candidate
        for candidate in candidates
    ]
