"""Backups of a stack without content."""

import io
from datetime import UTC, datetime
from pathlib import Path

from slipway_cli.backup.archive import About, new_backup


def write_backup(path: Path, locations: tuple[str, ...] = ("data", "mlflow"), version: str = "0.1.0") -> None:
    """Write a complete backup of empty databases."""
    about = About(slipway_version=version, created_at=datetime(2026, 11, 20, 12, tzinfo=UTC), locations=locations)
    with new_backup(path, about) as writer:
        for name in ("slipway.sql", "mlflow.sql"):
            writer.add(name, 0, io.BytesIO())
