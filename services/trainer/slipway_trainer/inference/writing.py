"""Write a recipe draft as Python source, with a comment for each inferred decision."""

import math
from collections.abc import Iterator
from pathlib import PurePosixPath

from slipway_core.plurals import count_of
from slipway_trainer.inference.drafts import ColumnDraft, RecipeDraft
from slipway_trainer.inference.fields import DEFAULT_MISSING
from slipway_trainer.inference.literals import call, comment, literal, quoted, sequence
from slipway_trainer.inference.target import rounded_down
from slipway_trainer.metrics import BINARY
from slipway_trainer.recipes.base import Recipe

# Below this share, the candidates weight the classes.
RARE_SHARE = 0.1
MIN_CLASS_SHARE: float = Recipe.model_fields["min_class_share"].default
MAX_DUPLICATE_SHARE: float = Recipe.model_fields["max_duplicate_share"].default

_MODELS = {
    "classification": ("LogisticRegression", "RandomForestClassifier", "HistGradientBoostingClassifier"),
    "regression": ("Ridge", "RandomForestRegressor", "HistGradientBoostingRegressor"),
}


def source_of(draft: RecipeDraft) -> str:
    """Return the source of a recipe file, formatted."""
    kind = "regression" if not draft.target.counts else "classification"
    blocks = [
        _head(draft),
        _imports(draft, kind),
        _columns(draft),
        *([] if draft.is_matrix else [_preparation(draft)]),
        _builders(draft, kind),
        _recipe(draft, kind),
    ]
    return "".join(blocks)


def summary_of(draft: RecipeDraft) -> str:
    """Return the number of features, the task, and the columns that are left out, as a phrase."""
    classes = len(draft.target.counts)
    kind = f"a classification with {classes} classes" if classes else "a regression"
    left_out = f"; left out {', '.join(column.name for column in draft.ignored)}" if draft.ignored else ""
    return f"{count_of(len(draft.columns), 'feature')}, {kind} of {draft.target.name!r}{left_out}"


def recipe_file(name: str) -> str:
    """Return the name of the recipe file of a model."""
    return f"{name.replace('-', '_')}.py"


def _head(draft: RecipeDraft) -> str:
    command = f"slipway train {recipe_file(draft.name)} --data {draft.file}"
    about = comment(
        f"Inferred from {draft.n_rows:,} rows of {draft.file}. The comments state each inferred decision: check them, "
        f"and change what you know better. Train with: {command}",
        0,
    )
    return f'"""The model {draft.name}, with columns that Slipway inferred from a CSV file."""\n\n{about}\n\n'


def _imports(draft: RecipeDraft, kind: str) -> str:
    linear, forest, boosting = _MODELS[kind]
    lines = [
        f"from sklearn.ensemble import {boosting}, {forest}",
        f"from sklearn.linear_model import {linear}",
    ]
    has_gaps = any(column.nullable and column.dtype != "string" for column in draft.columns)
    if not draft.is_matrix:
        lines = ["from sklearn.compose import ColumnTransformer", *lines]
    if has_gaps:
        lines.insert(-1, "from sklearn.impute import SimpleImputer")
    lines.append("from sklearn.pipeline import make_pipeline")
    scalers = [*(["OneHotEncoder"] if _has_texts(draft) else []), *(["StandardScaler"] if _has_numbers(draft) else [])]
    lines.append(f"from sklearn.preprocessing import {', '.join(scalers)}")
    return "\n".join(lines) + "\n\nfrom slipway_trainer.recipes import Candidate, Column, Recipe\n\n"


def _has_texts(draft: RecipeDraft) -> bool:
    return any(column.dtype == "string" for column in draft.columns)


def _has_numbers(draft: RecipeDraft) -> bool:
    return any(column.dtype != "string" for column in draft.columns)


def _columns(draft: RecipeDraft) -> str:
    text = "The features. Requests and data with a missing value are rejected, except in columns with nullable=True. "
    if _has_texts(draft):
        text += 'Other texts than the categories count as unknown; on_unknown="reject" rejects them. '
    text += 'Add unit="EUR" or description="…" for the users of the API, and minimum=0 or maximum=100 to reject others.'
    lines = [comment(text, 0), "COLUMNS = ("]
    for column in draft.columns:
        if column.notes:
            lines.append(comment("; ".join(column.notes), 4))
        lines.append(call("Column", _arguments(column), 4))
    return "\n".join([*lines, ")", ""])


def _arguments(column: ColumnDraft) -> dict[str, object]:
    arguments: dict[str, object] = {"name": column.name}
    if column.dtype != "float32":
        arguments["dtype"] = column.dtype
    if column.nullable:
        arguments["nullable"] = True
    if column.categories:
        arguments |= {"categories": column.categories, "on_unknown": "ignore"}
    if column.parts:
        arguments["parts"] = column.parts
    return arguments


def _preparation(draft: RecipeDraft) -> str:
    texts, numbers, steps = "", "", []
    if _has_numbers(draft):
        numbers = (
            "# Numbers, true and false as 1 and 0, and the parts of dates.\nNUMBERS = [name for column in COLUMNS if "
            'column.dtype != "string" for name in column.estimator_columns]\n'
        )
        steps.append('("numbers", numbers, NUMBERS)')
    if _has_texts(draft):
        texts = 'TEXTS = [column.name for column in COLUMNS if column.dtype == "string"]\n'
        steps.append('("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), TEXTS)')
    parameter = "numbers" if numbers else ""
    about = "Return the preprocessing of the columns" + (": one indicator for each text." if texts else ".")
    if len(steps) == 1:
        body = f"    return ColumnTransformer([{steps[0]}])\n"
    else:
        body = "    return ColumnTransformer(\n        [\n" + "".join(f"            {step},\n" for step in steps)
        body += "        ]\n    )\n"
    return f'{numbers}{texts}\n\ndef prepared({parameter}):\n    """{about}"""\n{body}'


def _builders(draft: RecipeDraft, kind: str) -> str:
    linear, forest, boosting = _MODELS[kind]
    has_gaps = any(column.nullable and column.dtype != "string" for column in draft.columns)
    imputer = 'SimpleImputer(strategy="median")'
    scaled = f"make_pipeline({imputer}, StandardScaler())" if has_gaps else "StandardScaler()"
    if draft.is_matrix:
        first, second = "StandardScaler(), ", ""
    elif not _has_numbers(draft):
        first = second = "prepared(), "
    else:
        first = f"prepared({scaled}), "
        second = "prepared({}), ".format(imputer if has_gaps else '"passthrough"')
    functions = (
        (_function_name(linear), linear, first, ""),
        ("random_forest", forest, second, ""),
        ("gradient_boosting", boosting, second, "early_stopping=False, "),
    )
    return "".join(
        f"\n\ndef {name}(parameters, seed):\n{_built(model, before, more)}" for name, model, before, more in functions
    )


def _built(model: str, before: str, more: str) -> str:
    estimator = f"{model}(**parameters, {more}random_state=seed)"
    if not before:
        return f"    return {estimator}\n"
    return f"    model = {estimator}\n    return make_pipeline({before}model)\n"


def _function_name(linear: str) -> str:
    return "logistic_regression" if linear == "LogisticRegression" else "linear_regression"


def _candidates(draft: RecipeDraft, kind: str) -> Iterator[str]:
    linear = {"C": 1.0, "max_iter": 1000} if kind == "classification" else {"alpha": 1.0}
    parameters: dict[str, dict[str, object]] = {
        _function_name(_MODELS[kind][0]): {**linear},
        "random_forest": {"n_estimators": 100, "max_depth": 12, "min_samples_leaf": 3},
        "gradient_boosting": {"max_iter": 100, "learning_rate": 0.1, "max_leaf_nodes": 15},
    }
    is_rare = kind == "classification" and _rarest_share(draft) < RARE_SHARE
    if is_rare:
        yield comment(
            f"The class {draft.target.rarest!r} is rare, so the classes are weighted. Weights raise its probabilities "
            "above its real share.",
            8,
        )
    for name, values in parameters.items():
        given = {**values, "class_weight": "balanced"} if is_rare else values
        listed = ", ".join(f"{quoted(key)}: {literal(value)}" for key, value in given.items())
        title = name.replace("_", "-")
        line = f'        Candidate(name="{title}", parameters={{{listed}}}, build={name}),'
        if len(line) <= 120:  # noqa: PLR2004
            yield line
        else:
            inner = " " * 12
            yield (
                f'        Candidate(\n{inner}name="{title}",\n{inner}parameters={{{listed}}},\n{inner}build={name},\n'
                "        ),"
            )


def _rarest_share(draft: RecipeDraft) -> float:
    return draft.target.counts[draft.target.rarest] / draft.n_rows


def _recipe(draft: RecipeDraft, kind: str) -> str:
    title = f"{draft.target.name} from {count_of(len(draft.columns), 'column')}"
    lines = [
        "\n\nRECIPE = Recipe(",
        f"    name={quoted(draft.name)},",
        f"    title={quoted(title)},",
        *_target_lines(draft, kind),
        f"    data_file={quoted(PurePosixPath(draft.file).name)},",
        "    columns=COLUMNS,",
        *_missing_lines(draft),
        *_ignored_lines(draft),
        "    candidates=(",
        *_candidates(draft, kind),
        "    ),",
        *_metric_lines(draft, kind),
        *_split_lines(draft, kind),
    ]
    if draft.duplicate_share > MAX_DUPLICATE_SHARE:
        lines += [
            comment(
                f"{draft.duplicate_share:.1%} of the rows repeat an earlier row; check that they are not copies.", 4
            ),
            f"    max_duplicate_share={math.ceil(draft.duplicate_share * 100) / 100:g},",
        ]
    return "\n".join([*lines, ")", ""])


def _target_lines(draft: RecipeDraft, kind: str) -> Iterator[str]:
    target = draft.target
    yield comment(f"The target: {target.note}.", 4)
    yield f"    task={quoted(kind)},"
    yield f"    target=Column(name={quoted(target.name)}),"
    if not target.counts:
        return
    if len(target.counts) <= 12:  # noqa: PLR2004  # more do not fit a comment
        shares = ", ".join(f"{label}: {count / draft.n_rows:.1%}" for label, count in target.counts.items())
        yield comment(f"Shares of the rows: {shares}.", 4)
    yield f"    classes={sequence(list(target.counts), 4, 13)},"


def _missing_lines(draft: RecipeDraft) -> Iterator[str]:
    if draft.extra_missing:
        yield comment("The fields of the file that stand for a missing value.", 4)
        yield f"    missing_values={sequence([*DEFAULT_MISSING, *draft.extra_missing], 4, 20)},"


def _ignored_lines(draft: RecipeDraft) -> Iterator[str]:
    if not draft.ignored:
        return
    yield comment("Columns that are left out. To use one, move it to COLUMNS.", 4)
    yield "    ignored=("
    for column in draft.ignored:
        yield comment(f"It {column.reason}." if not column.reason.endswith(".") else column.reason, 8)
        yield f"        {quoted(column.name)},"
    yield "    ),"


def _metric_lines(draft: RecipeDraft, kind: str) -> Iterator[str]:
    if kind == "regression":
        yield comment("The mean absolute error, in the unit of the target; a lower value is better.", 4)
        yield '    metric="mae",'
        yield comment('To promote only versions that are good enough, add ceilings={"mae": 10.0}.', 4)
        yield "    floors={},"
        return
    if len(draft.target.counts) == BINARY:
        metric, about = "roc_auc", "The ranking of the rows by probability: 0.5 is guessing, 1 is perfect."
    else:
        metric, about = "balanced_accuracy", "The mean of the share of correct predictions of each class."
    yield comment(about, 4)
    yield f"    metric={quoted(metric)},"
    if len(draft.target.counts) == BINARY:
        yield comment("The rarer class. Precision, recall and f1 concern it.", 4)
        yield f"    positive_class={literal(draft.target.rarest)},"
    yield comment(f'To promote only versions that are good enough, set a minimum: floors={{"{metric}": 0.8}}.', 4)
    yield "    floors={},"
    if (share := _rarest_share(draft)) < MIN_CLASS_SHARE:
        yield comment(f"The class {draft.target.rarest!r} has {share:.2%} of the rows.", 4)
        yield f"    min_class_share={rounded_down(share / 2)!r},"


def _split_lines(draft: RecipeDraft, kind: str) -> Iterator[str]:
    dates = [column.name for column in draft.columns if column.dtype == "date"]
    later = (
        f'; split="time" with time_columns=({quoted(dates[0])},) evaluates on the most recent rows instead'
        if dates
        else ""
    )
    yield comment(f"Test rows are chosen at random{later}.", 4)
    yield f"    split={quoted('random' if kind == 'regression' else 'stratified')},"
