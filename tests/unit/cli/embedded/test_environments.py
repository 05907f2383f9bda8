"""Which process of the embedded stack finds what in its environment."""

from collections.abc import Mapping

import pytest

from slipway_cli.embedded.environments import Environments, environments

STORES = {"MLFLOW_BACKEND_STORE_URI": "postgresql://u:p@db/mlflow", "MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket"}
API_SECRETS = {"SECRET_KEY": "key", "DATABASE_URL": "postgresql://u:p@db/slipway"}


def divided(inherited: Mapping[str, str]) -> Environments:
    return environments(inherited, {"SLIPWAY_PORT": "8080"}, stores=STORES, api_secrets=API_SECRETS)


def test_every_process_gets_the_persons_variables_and_the_stacks() -> None:
    parts = divided({"PATH": "/bin", "SLIPWAY_PORT": "1"})

    for environment in (parts.mlflow, parts.trainer, parts.api):
        assert (environment["PATH"], environment["SLIPWAY_PORT"]) == ("/bin", "8080")


def test_mlflow_alone_knows_where_its_stores_are() -> None:
    parts = divided(dict.fromkeys(STORES, "what the person wrote"))

    assert {name: parts.mlflow[name] for name in STORES} == STORES
    assert not STORES.keys() & (parts.trainer.keys() | parts.api.keys())


def test_the_api_alone_gets_its_secrets() -> None:
    parts = divided({**API_SECRETS, "SLIPWAY_ADMIN_PASSWORD": "p", "SLIPWAY_TOKEN": "t"})

    assert {name: parts.api[name] for name in API_SECRETS} == API_SECRETS
    assert "SLIPWAY_TOKEN" not in parts.api
    secrets = {*API_SECRETS, "SLIPWAY_ADMIN_PASSWORD", "SLIPWAY_TOKEN"}
    assert not secrets & (parts.mlflow.keys() | parts.trainer.keys())


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "MLFLOW_S3_ENDPOINT_URL"])
def test_the_way_to_s3_is_for_mlflow_and_the_trainer(variable: str) -> None:
    parts = divided({variable: "x"})

    assert (parts.mlflow[variable], parts.trainer[variable]) == ("x", "x")
    assert variable not in parts.api


def test_a_person_who_wants_amazons_checksums_has_them() -> None:
    parts = divided({"AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported"})

    assert parts.mlflow["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_supported"
    assert parts.mlflow["AWS_RESPONSE_CHECKSUM_VALIDATION"] == "when_required"


def test_an_environment_does_not_show_when_it_is_printed() -> None:
    assert "key" not in repr(divided({}))


@pytest.mark.parametrize("inherited", [{}, {"MLFLOW_DISABLE_TELEMETRY": "false"}])
def test_mlflow_server_sends_no_telemetry(inherited: dict[str, str]) -> None:
    assert divided(inherited).mlflow["MLFLOW_DISABLE_TELEMETRY"] == "true"
