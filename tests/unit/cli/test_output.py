"""Tables: nothing of them is cut where no terminal limits their width."""

import pytest
from rich.table import Table

from slipway_cli.output import print_table


def test_a_table_is_not_cut_in_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = Table("id", "what")
    table.add_row("0b6d1d5e-9d0f-4f6e-8a53-1d3f5f0a9f2c", "role changed (user → viewer)")

    print_table(table)

    [row] = [line for line in capsys.readouterr().out.splitlines() if "0b6d" in line]
    assert "0b6d1d5e-9d0f-4f6e-8a53-1d3f5f0a9f2c" in row
    assert "role changed (user → viewer)" in row
