"""The locations of the object store that belong to a backup, by the configuration of the stack."""

import pytest

from slipway_cli.backup.create import locations_of
from support.docker import CONFIG


@pytest.mark.parametrize(
    ("destination", "locations"),
    [
        ("s3://mlflow/artifacts", ("data", "mlflow")),
        ("s3://models/mlflow/", ("data", "mlflow", "models/mlflow")),
        ("s3://models", ("data", "mlflow", "models")),
        ("/somewhere", ("data", "mlflow")),
    ],
)
def test_locations_are_the_buckets_and_the_artifact_root(destination: str, locations: tuple[str, ...]) -> None:
    mlflow = {"environment": {"MLFLOW_ARTIFACTS_DESTINATION": destination}}

    assert locations_of({"services": {**CONFIG["services"], "mlflow": mlflow}}) == locations
