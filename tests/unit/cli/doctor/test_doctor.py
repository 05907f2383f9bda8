"""`slipway doctor` as a whole: its output, its exit code, and the independence of its checks."""

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_cli.cli import main
from slipway_cli.doctor.context import DoctorContext, read_context
from slipway_cli.doctor.findings import Finding, broken, ok
from slipway_cli.doctor.runner import Area, run_checks
from slipway_cli.embedded.home import Home
from slipway_core.policy import new_key
from support.command import run
from support.diagnosis import diagnose
from support.servers import free_port
from support.stub_api import Answer, Asked, stub_api

# Each test runs all checks, and waits for servers that do not respond.
pytestmark = pytest.mark.slow


def test_fresh_machine_has_no_problem_and_is_left_unchanged(folder: Path) -> None:
    found = diagnose(folder)

    assert (found.exit_code, found.broken) == (0, [])
    assert found.the("registry").what.startswith("skipped: MLFLOW_TRACKING_URI is not set and no stack runs")
    assert not folder.exists()


def test_port_in_use_is_reported_with_its_setting(folder: Path) -> None:
    with stub_api(lambda _asked: Answer(b"hello")) as program:
        port = int(program.url.rpartition(":")[2])
        found = diagnose(folder, port=port)

    assert (found.exit_code, found.the("API port").status) == (1, "broken")
    assert found.the("API port").what == f"port {port} is used by a web server"
    assert "`slipway up --port PORT` or SLIPWAY_PORT" in found.the("API port").mend


def test_wrong_settings_are_reported_beside_the_other_checks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_PROT", "8080")
    monkeypatch.setenv("SLIPWAY_LOG_LEVEL", "loud")
    monkeypatch.setenv("SLIPWAY_MAX_ROWS", "many")

    found = diagnose(folder)

    assert found.exit_code == 1
    assert found.the("variables").what == "SLIPWAY_PROT is not a setting of Slipway"
    assert found.the("variables").mend.startswith("rename it to SLIPWAY_PORT, or remove it with `unset SLIPWAY_PROT`")
    # One is of the command line, the other of the API alone.
    assert [finding.what.partition(":")[0] for finding in found.of("values")] == [
        "SLIPWAY_LOG_LEVEL",
        "SLIPWAY_MAX_ROWS",
    ]
    assert found.the("API port").status == "ok"


def test_readable_secrets_are_reported_with_the_chmod_command(folder: Path) -> None:
    home = Home(folder)
    home.make()
    home.secret_key()
    home.key_file.chmod(0o644)

    found = diagnose(folder)

    assert (found.exit_code, found.the("secret-key").status) == (1, "broken")
    assert found.the("secret-key").mend == f"make it private with `chmod 600 {folder / 'secret-key'}`"


def test_registry_that_does_not_listen_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    monkeypatch.setenv("SECRET_KEY", new_key())

    found = diagnose(folder)

    assert (found.exit_code, found.the("registry").what) == (1, f"no server listens at {url}")
    assert "set MLFLOW_TRACKING_URI to its address" in found.the("registry").mend


def test_api_address_in_place_of_the_registry_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def api(asked: Asked) -> Answer:
        return Answer({"service": "slipway"}) if asked.path == "/" else Answer({"status": 404}, 404)

    with stub_api(api) as stub:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", stub.url)
        found = diagnose(folder)

    assert (found.exit_code, found.the("registry").status) == (1, "broken")
    assert found.the("registry").what == f"at {stub.url}, Slipway's API responds, not MLflow"
    assert "set MLFLOW_TRACKING_URI to the MLflow server" in found.the("registry").mend


def test_incomplete_trainer_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skl2onnx", None)

    found = diagnose(folder)

    assert (found.exit_code, found.the("trainer").status) == (1, "broken")
    assert "skl2onnx" in found.the("trainer").what
    assert found.the("trainer").mend == "run `pip install 'slipway[trainer]'`"


def test_unsupported_database_is_reported_without_password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://ada:s3same@db/slipway")

    found = diagnose(folder)

    assert (found.exit_code, found.the("DATABASE_URL").status) == (1, "broken")
    assert "mysql" in found.the("DATABASE_URL").what
    assert "SQLite or PostgreSQL" in found.the("DATABASE_URL").mend
    assert "s3same" not in found.output


def test_unwritable_home_folder_is_reported(folder: Path) -> None:
    folder.touch()

    found = diagnose(folder)

    assert (found.exit_code, found.the("home folder").status) == (1, "broken")
    assert "--home or SLIPWAY_HOME" in found.the("home folder").mend


@pytest.mark.parametrize(
    ("data_dir", "what", "mend"),
    [
        ("{folder}/data", "", "`mkdir -p {folder}/data`"),
        ("{folder}/my data", "", "`mkdir -p '{folder}/my data'`"),
        (
            "gs://bucket/data",
            "SLIPWAY_DATA_DIR cannot be used: gs:// is not supported",
            "write s3://bucket/prefix or the path of a folder; or `unset",
        ),
    ],
)
def test_unusable_data_folder_is_a_warning(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_dir: str, what: str, mend: str
) -> None:
    monkeypatch.setenv("SLIPWAY_DATA_DIR", data_dir.format(folder=tmp_path))

    found = diagnose(folder)

    assert (found.exit_code, found.the("data folder").status) == (0, "warning")
    assert what in found.the("data folder").what
    assert mend.format(folder=tmp_path) in found.the("data folder").mend


def test_output_has_a_line_for_each_finding_and_a_summary(
    folder: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The working directory of the tests has a compose file.
    monkeypatch.chdir(folder.parent)

    ended = run(main, "doctor", f"--home={folder}", f"--port={taken_port}", f"--mlflow-port={free_port()}")

    assert ended.exit_code == 1
    lines = [line.split() for line in ended.output.splitlines()]
    assert ["✗", "broken", "API", *f"port port {taken_port} is used by a program".split()] in lines
    assert "→ choose another port with `slipway up --port PORT` or SLIPWAY_PORT, or stop that program" in ended.output
    assert "Found 1 problem; each → shows what to do." in ended.output
    areas = [line for line in ended.output.splitlines() if line and not line.startswith(" ")]
    assert areas[:-1] == ["Settings", "Secrets", "Packages", "Machine", "Stack of slipway up", "Database", "Registry"]


def test_json_output_has_the_area_of_each_finding(folder: Path) -> None:
    printed = json.loads(diagnose(folder).output)

    assert printed["status"] == "ok"
    assert {"area", "check", "status", "what", "mend"} == set(printed["findings"][0])


@pytest.fixture
def context(folder: Path) -> DoctorContext:
    return read_context({"home": folder})


def fails(_context: DoctorContext) -> Iterator[Finding]:
    yield ok("first", "found before")
    raise ZeroDivisionError("with a secret in it")


def test_failing_check_is_a_finding_and_the_others_run(context: DoctorContext) -> None:
    areas = (
        Area("One", (("fails", fails), ("second", lambda _: [ok("second", "found after")]))),
        Area("Other", (("third", lambda _: [broken("third", "found beside", "mend it")]),)),
    )

    one, other = run_checks(context, lambda _names: None, areas=areas)

    assert [(finding.check, finding.status) for finding in one.findings] == [
        ("first", "ok"),
        ("fails", "broken"),
        ("second", "ok"),
    ]
    assert "ZeroDivisionError" in one.findings[1].what
    assert "secret" not in one.findings[1].what
    assert [finding.check for finding in other.findings] == ["third"]


def test_hanging_check_is_reported_with_its_earlier_findings(context: DoctorContext) -> None:
    let_go = threading.Event()

    def hangs(_context: DoctorContext) -> Iterator[Finding]:
        yield ok("first", "found before")
        let_go.wait(60)

    pending: set[str] = set()
    (report,) = run_checks(context, pending.update, areas=(Area("Slow", (("hangs", hangs),)),), deadline_seconds=0.2)
    let_go.set()

    assert pending == {"Slow"}
    assert [finding.status for finding in report.findings] == ["ok", "broken"]
    assert "not all checks finished" in report.findings[1].what
