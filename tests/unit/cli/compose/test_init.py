import pytest
from pydantic import SecretStr

from slipway_cli.compose.init import summary
from slipway_cli.compose.settings import InitSettings


def settings(**more: object) -> InitSettings:
    return InitSettings(
        mlflow_tracking_uri="http://mlflow:5000",
        database_url=SecretStr("sqlite://"),
        admin_password=SecretStr("correct-horse"),
        **more,  # type: ignore[arg-type]
    )


def test_the_first_password_is_shown_at_the_first_start_alone() -> None:
    assert "correct-horse" in summary(settings(), is_first=True)
    assert "correct-horse" not in summary(settings(), is_first=False)


@pytest.mark.parametrize(
    ("name", "port"), [("port", 8001), ("mlflow_port", 5001), ("grafana_port", 3001), ("minio_console_port", 9011)]
)
def test_the_addresses_have_the_ports_that_were_asked_for(name: str, port: int) -> None:
    assert f"http://127.0.0.1:{port}" in summary(settings(**{name: port}), is_first=False)


def test_the_api_is_where_it_was_told_to_listen() -> None:
    assert "http://192.0.2.7:8000/docs" in summary(settings(bind_address="192.0.2.7"), is_first=False)


def test_it_is_a_line_a_service() -> None:
    lines = summary(settings(), is_first=True).splitlines()

    assert [line.split()[0] for line in lines] == ["API", "MLflow", "Grafana", "Prometheus", "Alertmanager", "MinIO"]
