"""What the trainer can be told by environment variables."""

from pathlib import Path

from pydantic import Field

from slipway_core.registry.settings import RegistrySettings


class TrainerSettings(RegistrySettings):
    """The trainer's settings."""

    data_dir: Path = Field(default=Path("data"), description="Where recipes look for data before they download it.")
