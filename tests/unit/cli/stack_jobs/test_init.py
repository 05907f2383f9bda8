from pathlib import Path

import pytest
from pydantic import SecretStr

from slipway_cli.stack_jobs.init import prepare, summary
from slipway_cli.stack_jobs.settings import HttpsSettings, InitSettings
from slipway_core.errors import ConfigurationError, StorageError
from slipway_core.settings import load_settings
from support.servers import free_port


def settings(**more: object) -> InitSettings:
    return InitSettings(
        mlflow_tracking_uri="http://mlflow:5000",
        **({"database_url": SecretStr("sqlite://"), "admin_password": SecretStr("correct-horse")} | more),  # type: ignore[arg-type]
    )


def test_password_is_shown_only_at_the_first_start() -> None:
    assert "correct-horse" in summary(settings(), is_first=True)
    assert "correct-horse" not in summary(settings(), is_first=False)


def test_first_password_is_shown_if_a_later_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    own = settings(database_url=SecretStr(f"sqlite:///{tmp_path}/slipway.db"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "slipway")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "correct-horse-battery")

    with pytest.raises(StorageError):
        prepare(own, buckets=["mlflow"], recipes=[], echo=told.append)

    assert "correct-horse (shown only once)" in told[-1]


def test_summary_has_a_line_for_each_service() -> None:
    lines = summary(settings(), is_first=True).splitlines()

    assert [line.split()[0] for line in lines] == ["API", "MLflow", "Grafana", "Prometheus", "Alertmanager", "MinIO"]


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ({}, "http://127.0.0.1:8000/docs"),
        ({"port": 8001}, "http://127.0.0.1:8001/docs"),
        ({"mlflow_port": 5001}, "http://127.0.0.1:5001"),
        ({"grafana_port": 3001}, "http://127.0.0.1:3001"),
        ({"minio_console_port": 9011}, "http://127.0.0.1:9011"),
        ({"bind_address": "192.0.2.7"}, "http://192.0.2.7:8000/docs"),
        ({"domain": "ml.example.com"}, "https://ml.example.com/docs"),
        ({"domain": "localhost", "https_port": 8443}, "https://localhost:8443/docs"),
        ({"domain": "ml.example.com", "bind_address": "192.0.2.7"}, "https://ml.example.com/docs"),
    ],
)
def test_summary_has_the_configured_addresses(more: dict[str, object], url: str) -> None:
    assert f" {url}" in summary(settings(**more), is_first=False)


@pytest.mark.parametrize(
    "domain", ["https://ml.example.com", "ml.example.com:8443", "ml.example.com/api", "a b", "{$X}"]
)
def test_domain_must_be_a_host_name(domain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_DOMAIN", domain)

    with pytest.raises(ConfigurationError, match=r"SLIPWAY_DOMAIN.*host name without scheme"):
        load_settings(HttpsSettings)
