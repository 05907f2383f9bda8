"""Read a CSV file as text, and infer a recipe from all of its columns."""

import csv
import io
import re
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from slipway_core.validation import did_you_mean
from slipway_trainer.csv_checks import OTHER_SEPARATORS, check_csv
from slipway_trainer.errors import DataRefusedError, reason_of
from slipway_trainer.inference.columns import infer_column
from slipway_trainer.inference.drafts import ColumnDraft, IgnoredDraft, RecipeDraft, TargetDraft
from slipway_trainer.inference.fields import DEFAULT_MISSING, is_missing
from slipway_trainer.inference.target import infer_target
from slipway_trainer.schema import SHOWN_COLUMNS, shown


def infer_recipe(content: bytes, file: str, target: str, name: str) -> RecipeDraft:
    """Infer a recipe from a CSV file.

    Args:
        content: the file's bytes.
        file: its name.
        target: the column to predict.
        name: the model's name.

    Raises:
        DataRefusedError: the file is not CSV, has no such column, or has values that Slipway cannot use.
    """
    table = read_table(content, file, target)
    findings: list[str] = []
    inferred_target = TargetDraft(target)
    try:
        inferred_target = infer_target(target, table[target])
    except DataRefusedError as error:
        findings += error.findings
    columns: list[ColumnDraft] = []
    ignored: list[IgnoredDraft] = []
    for column in (str(column) for column in table.columns if column != target):
        try:
            draft = infer_column(column, table[column])
        except DataRefusedError as error:
            findings += error.findings
            continue
        if isinstance(draft, ColumnDraft) and _is_copy(table[column], table[target]):
            draft = IgnoredDraft(column, f"is a copy of the target {target!r}")
        if isinstance(draft, ColumnDraft):
            columns.append(draft)
        else:
            ignored.append(draft)
    if not columns and not findings:
        reasons = "; ".join(f"{one.name!r} {one.reason}" for one in ignored)
        findings.append(f"{file} has no column to predict {target!r} from{': ' if reasons else ''}{reasons}")
    if findings:
        raise DataRefusedError(findings)
    return RecipeDraft(
        name=name,
        file=file,
        n_rows=len(table),
        target=inferred_target,
        columns=_without_clashes(columns, {str(name) for name in table.columns}),
        ignored=tuple(ignored),
        extra_missing=_extra_missing(table[[column.name for column in columns]]),
        duplicate_share=float(table.duplicated().mean()),
    )


def read_table(content: bytes, file: str, target: str) -> pd.DataFrame:
    """Return all fields of a CSV file as text; the index counts the file's lines, 0 for the second.

    Raises:
        DataRefusedError: the file is not CSV, has no rows, or lacks the target.
    """
    _check_separator(content, file)
    names = next(csv.reader(io.StringIO(content.decode("utf-8-sig", errors="replace"), newline="")), [])
    lines = check_csv(content, file, [target, *names])
    try:
        table = pd.read_csv(io.BytesIO(content), dtype="str", keep_default_na=False, skip_blank_lines=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise DataRefusedError([f"{file} cannot be read as CSV: {reason_of(error)}; correct the file"]) from error
    table.index = pd.Index(lines, dtype="int64") - 2
    # pandas fills a blank line with missing values.
    table = table.fillna("")
    table = table[~(table == "").all(axis=1)]
    header = [str(name) for name in table.columns]
    if target not in header:
        listed = ", ".join(header[:SHOWN_COLUMNS]) + (", …" if len(header) > SHOWN_COLUMNS else "")
        meant = did_you_mean(target, header) or ";"
        raise DataRefusedError([f"{file} has no column {target!r}{meant} its columns are {listed}"])
    if table.empty:
        raise DataRefusedError([f"{file} has no rows below its header; add rows"])
    return table


def _check_separator(content: bytes, file: str) -> None:
    """Reject a file with another separator than a comma, and name the command that converts it."""
    first = content.lstrip(b"\xef\xbb\xbf\r\n").partition(b"\n")[0].decode("utf-8", errors="replace").rstrip("\r")
    for separator, words in OTHER_SEPARATORS.items():
        if first.count(separator) > first.count(","):
            sign = {"\t": r"\t"}.get(separator, separator)
            sentence = (
                f"the columns of {file} are separated by {words}: line 1 is {shown(first)}; convert it with "
                f'pandas.read_csv(FILE, sep="{sign}").to_csv(NEW_FILE, index=False), and add decimal="," if its '
                "numbers have decimal commas"
            )
            raise DataRefusedError([sentence])


def _extra_missing(features: pd.DataFrame) -> tuple[str, ...]:
    """Return the fields that stand for a missing value, except those of every recipe."""
    found = {field for name in features.columns for field in features[name].unique() if is_missing(field)}
    return tuple(sorted(found - {*DEFAULT_MISSING}))


def _is_copy(fields: pd.Series, target: pd.Series) -> bool:
    """Return whether each field corresponds to exactly one field of the target, and vice versa."""
    codes, different = pd.factorize(fields)
    labels, values = pd.factorize(target)
    if not len(different) == len(values) == len(np.unique(np.stack([codes, labels]), axis=1).T):
        return False
    if len(different) < len(fields):
        return True
    numbers = [pd.to_numeric(one, errors="coerce").to_numpy(dtype=np.float64) for one in (fields, target)]
    steps = np.diff(numbers[0][np.argsort(numbers[1])])
    return bool((steps > 0).all() or (steps < 0).all())


def _without_clashes(columns: list[ColumnDraft], header: set[str]) -> tuple[ColumnDraft, ...]:
    """Remove parts of dates whose names are those of other columns, except if no part would remain."""
    return tuple(
        replace(
            column,
            parts=tuple(part for part in column.parts if f"{column.name}_{part}" not in header) or column.parts,
        )
        for column in columns
    )


def model_name(file: str) -> str:
    """Return a model's name for a file's name: lower-case letters, digits, `.`, `_` and `-`."""
    stem = PurePosixPath(file).stem.lower()
    return re.sub(r"[^a-z0-9._-]+", "-", stem).strip("._-") or "model"
