"""The checks of `slipway doctor` of the registry: its server, its artifact store and its content."""

import fnmatch
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from slipway_cli.doctor.artifacts import check_artifacts
from slipway_cli.doctor.context import read_context
from slipway_cli.doctor.findings import Finding
from slipway_cli.doctor.http_probe import compare_clocks
from slipway_cli.doctor.models import check_content
from slipway_cli.doctor.registry import check_registry
from slipway_cli.embedded.home import Home
from slipway_core.bundle import MANIFEST_TAG
from slipway_core.registry import PRODUCTION, RegisteredModel
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.promotion import promote
from support.servers import free_port
from support.stub_api import Answer, Asked, stub_api

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DIGEST = "sha256:" + "d" * 64
HOST_REFUSED = b"Invalid Host header - possible DNS rebinding attack detected"


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Finding]:
    """Check an address and return the finding."""

    def at(uri: str) -> Finding:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        (finding,) = [f for f in check_registry(read_context({"home": tmp_path})) if f.status == "broken"]
        return finding

    return at


@pytest.mark.parametrize(
    "uri",
    ["127.0.0.1:5000", "sqlite:///mlflow.db", "databricks", "http://", "http://ada:s3same@host:port", "http://[::1"],
)
def test_invalid_server_address_is_reported_and_not_shown(look: Callable[[str], Finding], uri: str) -> None:
    finding = look(uri)

    assert finding.check == "MLFLOW_TRACKING_URI"
    assert "http://HOST:PORT" in finding.mend
    assert "s3same" not in finding.what + finding.mend


def test_name_that_does_not_resolve_is_reported(look: Callable[[str], Finding]) -> None:
    finding = look("http://ada:s3same@nosuch.invalid:5000")

    assert finding.what == "the name nosuch.invalid does not resolve"
    assert "getent hosts nosuch.invalid" in finding.mend


def test_server_that_accepts_but_does_not_respond_is_reported(
    look: Callable[[str], Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway_cli.doctor.http_probe.ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        finding = look(f"http://127.0.0.1:{listener.getsockname()[1]}")

    assert "does not respond within" in finding.what
    assert "MLflow server's log" in finding.mend


def test_connection_timeout_is_reported(look: Callable[[str], Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway_cli.doctor.http_probe.CONNECT_SECONDS", 0.1)
    # The listen queue is full, so that further connections time out.
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for queued in (first, second):
            queued.setblocking(False)
            queued.connect_ex(listener.getsockname())
        finding = look(f"http://127.0.0.1:{listener.getsockname()[1]}")

    assert "times out after" in finding.what
    assert "firewall" in finding.mend


def test_https_address_of_an_http_server_is_reported(look: Callable[[str], Finding]) -> None:
    with stub_api(lambda _asked: Answer({})) as stub:
        finding = look(stub.url.replace("http://", "https://"))

    assert "no trusted TLS connection" in finding.what
    assert "write http:// in MLFLOW_TRACKING_URI" in finding.mend


@pytest.mark.parametrize(
    ("answer", "what", "mend"),
    [
        (Answer(b"<html>hello</html>"), "another server than MLflow responds", "set MLFLOW_TRACKING_URI"),
        (Answer([1, 2]), "another server than MLflow responds", "set MLFLOW_TRACKING_URI"),
        (Answer({"detail": "Not Found"}, 404), "another server than MLflow responds", "set MLFLOW_TRACKING_URI"),
        (Answer(b"", 302), "redirects to another address (302)", "without a login page"),
        (Answer(b"", 401), "requires an account (401)", "MLFLOW_TRACKING_PASSWORD"),
        (Answer(b"Permission denied", 403), "requires an account (403)", "MLFLOW_TRACKING_PASSWORD"),
        (Answer(b"", 502), "is not available (502)", "start the MLflow server"),
        (Answer({"error_code": "INTERNAL_ERROR"}, 500), "fails (500)", "mlflow db upgrade"),
    ],
)
def test_other_server_in_place_of_mlflow_is_reported(
    look: Callable[[str], Finding], answer: Answer, what: str, mend: str
) -> None:
    with stub_api(lambda _asked: answer) as stub:
        finding = look(stub.url)

    assert what in finding.what
    assert mend in finding.mend


def test_account_that_may_not_read_the_registry_is_reported(
    look: Callable[[str], Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    with stub_api(lambda _asked: Answer(b"Permission denied", 403)) as stub:
        finding = look(stub.url)

    assert "does not allow this account" in finding.what
    assert "MLFLOW_TRACKING_USERNAME" in finding.mend


@pytest.mark.parametrize("host", ["127.1", "localhost", "127.0.0.1"])
def test_suggested_pattern_matches_the_rejected_host(look: Callable[[str], Finding], host: str) -> None:
    with stub_api(lambda _asked: Answer(HOST_REFUSED, 403)) as stub:
        finding = look(stub.url.replace("127.0.0.1", host))
    (asked,) = [asked for asked in stub.asked if "registered-models" in asked.path]

    assert finding.check == "Host check"
    patterns = finding.mend.partition('MLFLOW_SERVER_ALLOWED_HOSTS="')[2].partition('"')[0].split(",")
    # As in mlflow.server.security_utils.is_allowed_host_header.
    assert any(fnmatch.fnmatch(asked.headers["Host"], pattern) for pattern in patterns)


def store(answers: dict[str, Answer]) -> Callable[[Asked], Answer]:
    """Return a server that stores one file, with other responses to some methods."""
    kept: list[bytes] = []

    def answer(asked: Asked) -> Answer:
        if asked.method == "PUT":
            kept.append(asked.body)
        if asked.method in answers:
            return answers[asked.method]
        return Answer(kept[-1] if asked.method == "GET" else {})

    return answer


@pytest.mark.parametrize(
    ("answers", "status", "what", "mend"),
    [
        ({}, "ok", "written, read and deleted", ""),
        (
            {"PUT": Answer({"detail": "Artifact serving is disabled. Run with `--serve-artifacts` to enable."}, 503)},
            "broken",
            "does not proxy artifacts",
            "--serve-artifacts --artifacts-destination",
        ),
        ({"PUT": Answer(b"", 403)}, "broken", "does not allow this account to write", "MLFLOW_TRACKING_USERNAME"),
        ({"PUT": Answer(b"", 413)}, "broken", "proxy", "limit"),
        ({"PUT": Answer(b"Traceback /srv/x", 500)}, "broken", "cannot write a file", "AWS_SECRET_ACCESS_KEY"),
        ({"GET": Answer(b"", 500)}, "broken", "cannot read a file", "--artifacts-destination"),
        ({"GET": Answer(b"other")}, "broken", "differs from the one that was written", "proxy"),
        ({"DELETE": Answer(b"", 500)}, "warning", "but not deleted (500)", "slipway-doctor/"),
    ],
    ids=["well", "not-proxied", "not-allowed", "too-large", "broken", "not-readable", "changed", "not-deleted"],
)
def test_artifact_store_is_checked_with_a_file(answers: dict[str, Answer], status: str, what: str, mend: str) -> None:
    with stub_api(store(answers)) as stub, httpx.Client(base_url=stub.url) as client:
        (finding,) = check_artifacts(client)

    assert finding.status == status
    assert what in finding.what
    assert mend in finding.mend
    assert "/srv" not in finding.what + finding.mend


@pytest.mark.parametrize(
    ("destination", "mend"),
    [
        (None, "check that {home}/artifacts is a folder that this account can write; {home}/logs/mlflow.log"),
        ("/srv/artifacts", "check that /srv/artifacts is a folder"),
        ("file:///srv/artifacts", "check that /srv/artifacts is a folder"),
        ("s3://models/mlflow", "check that s3://models/mlflow of MLFLOW_ARTIFACTS_DESTINATION exists"),
        ("ftp://ada:s3same@host/models", "check ftp://… of MLFLOW_ARTIFACTS_DESTINATION"),
    ],
)
def test_failing_embedded_store_is_reported_with_its_location(
    look: Callable[[str], Finding], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, destination: str | None, mend: str
) -> None:
    if destination:
        monkeypatch.setenv("MLFLOW_ARTIFACTS_DESTINATION", destination)
    with Home(tmp_path).locked(), stub_api(store({"PUT": Answer(b"", 500), "GET": Answer({})})) as stub:
        monkeypatch.setenv("SLIPWAY_MLFLOW_PORT", stub.url.rpartition(":")[2])
        finding = look(stub.url)

    assert finding.check == "artifact store"
    assert finding.mend.startswith(mend.format(home=tmp_path))


def test_stopped_stack_registry_is_reported_with_its_command(
    look: Callable[[str], Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("SLIPWAY_MLFLOW_PORT", str(port))

    finding = look(f"http://127.0.0.1:{port}")

    assert finding.mend.startswith("start it with `slipway up`")


@pytest.mark.parametrize(
    ("date", "status"), [("Fri, 20 Nov 2026 12:00:00 GMT", "broken"), ("soon", None), (None, None)]
)
def test_clock_is_compared_if_the_response_has_a_date(date: str | None, status: str | None) -> None:
    response = httpx.Response(200, headers={} if date is None else {"Date": date})

    finding = compare_clocks(response, "the registry", NOON.timestamp() + 31)

    assert (finding.status if finding else None) == status


@pytest.fixture
def registry() -> InMemoryRegistry:
    """A registry with two versions of iris, the first of them promoted."""
    registry = InMemoryRegistry()
    for _ in range(2):
        registry.add_version("iris", {}, tags={MANIFEST_TAG: DIGEST})
    promote(registry, "iris", "1", by="ada", at=NOON, reason="the first")
    return registry


def test_promoted_version_is_ok(registry: InMemoryRegistry) -> None:
    assert list(check_content(registry, "iris")) == [Finding("model iris", "ok", "Production is version 1")]


def test_default_model_without_production_is_a_warning(registry: InMemoryRegistry) -> None:
    missing, _ = check_content(registry, "digits")

    assert missing.status == "warning"
    assert "`slipway train digits`" in missing.mend
    assert "SLIPWAY_DEFAULT_MODEL" in missing.mend


@pytest.mark.parametrize(
    ("change", "status", "what", "mend"),
    [
        (
            lambda registry: registry.set_version_tag("iris", "1", MANIFEST_TAG, "not a digest"),
            "broken",
            "slipway.manifest_sha256",
            "`slipway models promote iris VERSION`",
        ),
        (
            lambda registry: registry.set_alias("iris", PRODUCTION, "2"),
            "warning",
            "moved to version 2 outside of Slipway: the last version in its history is 1",
            "`slipway models promote iris 2`",
        ),
        (
            lambda registry: registry.set_version_tag("iris", "1", "slipway.withdrawn", "2026-11-20T12:00:00Z"),
            "warning",
            "was withdrawn",
            "",
        ),
    ],
    ids=["without a digest", "moved by hand", "withdrawn"],
)
def test_questionable_production_version_is_reported(
    registry: InMemoryRegistry, change: Callable[[InMemoryRegistry], None], status: str, what: str, mend: str
) -> None:
    change(registry)

    (finding,) = check_content(registry, "iris")

    assert finding.status == status
    assert what in finding.what
    assert mend in finding.mend


def test_alias_of_a_missing_version_is_reported(registry: InMemoryRegistry) -> None:
    class Forgetful(InMemoryRegistry):
        def list_models(self) -> list[RegisteredModel]:
            return registry.list_models()

    (finding,) = check_content(Forgetful(), "iris")

    assert finding.status == "broken"
    assert "version 1, which does not exist" in finding.what
    assert "slipway models show iris" in finding.mend


def test_registry_lost_during_the_check_is_reported(registry: InMemoryRegistry) -> None:
    registry.reachable = False

    (finding,) = check_content(registry, "iris")

    assert finding.status == "broken"
