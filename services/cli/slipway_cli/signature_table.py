"""Show the features and classes of a version, as its manifest describes them."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from slipway_cli.cells import listed
from slipway_core.columns import InputColumn
from slipway_core.manifest import Manifest, label_text
from slipway_core.plurals import count_of

SHOWN_COLUMNS = 50


def signature_json(manifest: Manifest) -> Mapping[str, Any]:
    """Return the features and classes as JSON, in the API's form."""
    described = manifest.model_dump(mode="json", include={"columns", "classes", "decision"})
    return {"inputs": described["columns"], "classes": described["classes"], "decision": described["decision"]}


def signature_table(manifest: Manifest, version: str) -> Table:
    """Return a table of the features; the classes are its caption."""
    title = f"Features of version {version}, in their order"
    table = Table(
        "feature",
        "type",
        "may be missing",
        "values, or range in training",
        title=title,
        box=SIMPLE,
        caption=_caption(manifest),
        caption_justify="left",
    )
    has_descriptions = any(column.description for column in manifest.columns)
    if has_descriptions:
        table.add_column("description")
    for column in manifest.columns[:SHOWN_COLUMNS]:
        described = [column.description or ""] if has_descriptions else []
        table.add_row(column.name, column.dtype, "yes" if column.nullable else "no", _values(column), *described)
    return table


def _values(column: InputColumn) -> str:
    if column.categories is not None:
        return listed(column.categories) + ("; others are passed on" if column.on_unknown == "ignore" else "")
    unit = f" {column.unit}" if column.unit else ""
    if column.min is not None and column.max is not None:
        return f"{column.min:.7g} to {column.max:.7g}{unit}"
    if column.min is not None:
        return f"from {column.min:.7g}{unit}"
    if column.max is not None:
        return f"up to {column.max:.7g}{unit}"
    return unit.strip() or "–"


def _caption(manifest: Manifest) -> str | None:
    """Return the number of features that are not shown, the classes and the threshold, one a line."""
    lines = []
    if (more := len(manifest.columns) - SHOWN_COLUMNS) > 0:
        lines.append(f"{count_of(more, 'more feature')}: see --json")
    if manifest.classes is not None:
        lines.append(f"Classes: {listed(manifest.classes)}")
        if manifest.decision is not None:
            positive = label_text(manifest.classes[manifest.decision.positive_class])
            lines.append(f"Predicts {positive} from the probability {manifest.decision.threshold:g} on")
    return "\n".join(lines) or None
