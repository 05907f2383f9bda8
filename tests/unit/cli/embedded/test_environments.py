"""The variables of each process of the embedded stack."""

from collections.abc import Mapping

import pytest

from slipway_cli.embedded.environments import Environments, environments

STORES = {"MLFLOW_BACKEND_STORE_URI": "postgresql://u:p@db/mlflow", "MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket"}
API_SECRETS = {"SECRET_KEY": "key", "DATABASE_URL": "postgresql://u:p@db/slipway"}


def divided(inherited: Mapping[str, str]) -> Environments:
    return environments(inherited, {"SLIPWAY_PORT": "8080"}, stores=STORES, api_secrets=API_SECRETS)


def test_every_process_inherits_and_gets_the_stacks_variables() -> None:
    parts = divided({"PATH": "/bin", "SLIPWAY_PORT": "1"})

    for environment in (parts.mlflow, parts.trainer, parts.api):
        assert (environment["PATH"], environment["SLIPWAY_PORT"]) == ("/bin", "8080")


def test_only_mlflow_gets_the_addresses_of_its_stores() -> None:
    parts = divided(dict.fromkeys(STORES, "what the person wrote"))

    assert {name: parts.mlflow[name] for name in STORES} == STORES
    assert not STORES.keys() & (parts.trainer.keys() | parts.api.keys())


def test_only_the_api_gets_its_secrets() -> None:
    parts = divided({**API_SECRETS, "SLIPWAY_ADMIN_PASSWORD": "p", "SLIPWAY_TOKEN": "t"})

    assert {name: parts.api[name] for name in API_SECRETS} == API_SECRETS
    assert "SLIPWAY_TOKEN" not in parts.api
    secrets = {*API_SECRETS, "SLIPWAY_ADMIN_PASSWORD", "SLIPWAY_TOKEN"}
    assert not secrets & (parts.mlflow.keys() | parts.trainer.keys())


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "MLFLOW_S3_ENDPOINT_URL"])
def test_only_mlflow_and_the_trainer_get_s3_variables(variable: str) -> None:
    parts = divided({variable: "x"})

    assert (parts.mlflow[variable], parts.trainer[variable]) == ("x", "x")
    assert variable not in parts.api


def test_inherited_checksum_setting_is_kept() -> None:
    parts = divided({"AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported"})

    assert parts.mlflow["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_supported"
    assert parts.mlflow["AWS_RESPONSE_CHECKSUM_VALIDATION"] == "when_required"


def test_repr_of_environments_has_no_secrets() -> None:
    assert "key" not in repr(divided({}))


@pytest.mark.parametrize("inherited", [{}, {"MLFLOW_DISABLE_TELEMETRY": "false"}])
def test_mlflow_server_sends_no_telemetry(inherited: dict[str, str]) -> None:
    assert divided(inherited).mlflow["MLFLOW_DISABLE_TELEMETRY"] == "true"
