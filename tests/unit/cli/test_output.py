"""Tables: no cell is cut off unless a terminal limits the width."""

import io

import pytest
from rich.console import Console
from rich.table import Column, Table

from slipway_cli import output
from slipway_cli.output import print_table


def test_a_table_is_not_cut_in_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = Table("id", "what")
    table.add_row("0b6d1d5e-9d0f-4f6e-8a53-1d3f5f0a9f2c", "role changed (user → viewer)")

    print_table(table)

    [row] = [line for line in capsys.readouterr().out.splitlines() if "0b6d" in line]
    assert "0b6d1d5e-9d0f-4f6e-8a53-1d3f5f0a9f2c" in row
    assert "role changed (user → viewer)" in row


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_long_name_is_folded_on_a_narrow_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width)
    monkeypatch.setattr(output, "console", lambda: out)
    name = "a-very-long-name-of-a-model-" * 4
    table = Table("name", Column("what", overflow="ellipsis"), box=None)
    table.add_row(name, "")

    print_table(table)

    assert isinstance(out.file, io.StringIO)
    assert name in "".join(out.file.getvalue().split())
