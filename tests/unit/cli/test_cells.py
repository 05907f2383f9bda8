"""Cells: the command line accepts those that the API accepts, with the same values."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slipway_cli.cells import CellReader
from slipway_core.columns import GraphInput, InputColumn
from slipway_core.csv_cells import converter
from slipway_core.errors import FeaturesError
from slipway_core.table_signature import TableSignature

COLUMNS: list[dict[str, Any]] = [
    {"dtype": "float32"},
    {"dtype": "float32", "nullable": True},
    {"dtype": "float32", "categories": [0.1, 1.0, 3.5]},
    {"dtype": "float32", "categories": [0.1, 1.0, 3.5], "on_unknown": "ignore"},
    {"dtype": "float64"},
    {"dtype": "float64", "nullable": True},
    {"dtype": "int64"},
    {"dtype": "int64", "categories": [1.0, 3.0]},
    {"dtype": "int64", "nullable": True},
    {"dtype": "bool"},
    {"dtype": "bool", "nullable": True},
    {"dtype": "string"},
    {"dtype": "string", "nullable": True, "missing": ""},
    {"dtype": "string", "categories": ["1", "a"]},
    {"dtype": "string", "categories": ["", "a"]},
    {"dtype": "date"},
    {"dtype": "date", "nullable": True},
]
CELLS = [
    "0.1",
    "1e39",
    "1e400",
    "-inf",
    "nan",
    "3.4028236e38",
    "9223372036854775807",
    "9223372036854775808",
    "2026-02-29",
]
WORDS = ["True", "FALSE", "2026-11-21", "2026-11-21T08:30Z", "1_0", "\u0661", "3.50", "null", "NA", ""]
cells = st.sampled_from(CELLS + WORDS) | st.text("0123456789+-.eE,_na \u0661", max_size=6) | st.text(max_size=3)


def of_the_api(fields: dict[str, Any], cell: str) -> list[Any] | None:
    """Return the value that the API makes of a cell, in a list; None if it rejects it."""
    column = InputColumn(name="x", **fields)
    is_narrow = column.dtype == "date" or (column.nullable and column.dtype in {"int64", "bool"})
    dtype: Any = "float32" if is_narrow else column.dtype
    part: Any = {"part": "hour"} if column.dtype == "date" else {}
    signature = TableSignature([column], [GraphInput(name="x", dtype=dtype, shape=(1,), column="x", **part)])
    try:
        value = converter(column)(cell)
        signature.rows([[value]])
    except FeaturesError:
        return None
    return [value]


def of_the_command(fields: dict[str, Any], cell: str) -> list[Any] | None:
    """Return the value that the command line makes of a cell, in a list; None if it rejects it."""
    try:
        return [CellReader(InputColumn(name="x", **fields)).read(cell, decimal_comma=False)]
    except ValueError:
        return None


@pytest.mark.parametrize("fields", COLUMNS, ids=str)
@given(cell=cells)
@example(cell="0.1")
@example(cell="9223372036854775808")
@example(cell="3.4028236e38")
@example(cell="16777216")
@example(cell="-16777217")
@example(cell="\x00")
@example(cell="")
@example(cell="\udcff")
def test_cells_have_the_values_of_the_api(fields: dict[str, Any], cell: str) -> None:
    text = cell if fields["dtype"] == "string" else cell.strip()  # the command line allows spaces
    expected = of_the_api(fields, text)
    assert of_the_command(fields, cell) == expected


def test_commands_need_no_numpy() -> None:
    program = "import sys; sys.modules['numpy'] = None; from slipway_cli.cli import main; main()"

    command = [sys.executable, "-c", program, "predict", "--help"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)

    assert (ended.returncode, ended.stderr) == (0, "")
