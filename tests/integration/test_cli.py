"""The command `slipway` against the real API and the real registry."""

import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import pytest
import uvicorn
from structlog.testing import capture_logs

from slipway_api.main import build
from slipway_api.settings import ApiSettings
from slipway_cli.cli import main
from slipway_cli.identity import credentials_file
from slipway_core.migrations import upgrade
from slipway_core.policy import new_key
from slipway_core.registry import PRODUCTION
from slipway_core.registry.events import history
from slipway_core.registry.gate_result import GATE_TAG, GateCheck, GateResult
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.mlflow import MlflowRegistry
from support.bundles import bundle_files, register, regression_files
from support.command import Ended, run
from support.servers import answers
from support.versions import add_version
from support.waiting import wait_for

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"
SETOSA, VIRGINICA = "5.1,3.5,1.4,0.2", "6.7,3.0,5.2,2.3"
NAMES = "petal width (cm),sepal length (cm),petal length (cm),sepal width (cm)"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real API that serves a classifier and a regressor; its administrator is `ada`."""
    folder = tmp_path_factory.mktemp("api")
    registry = InMemoryRegistry()
    register(registry, bundle_files(), promote=True)
    register(registry, regression_files("demand"), "demand", promote=True)
    settings = ApiSettings(
        secret_key=new_key(),
        database_url=f"sqlite:///{folder / 'slipway.db'}",
        mlflow_tracking_uri="http://registry.invalid",
        cache_dir=folder / "cache",
        journal_dir=folder / "journal",
        admin_username="ada",
        admin_password=PASSWORD,
        registry_poll_seconds=0.1,
    )
    upgrade(settings.database_url.get_secret_value())
    server = uvicorn.Server(uvicorn.Config(build(settings, registry), log_config=None, access_log=False))
    # The log of the server must not mix with the output of a command in this process.
    with socket.create_server(("127.0.0.1", 0)) as listener, capture_logs():
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_for(lambda: answers(f"{url}/health/ready"), seconds=30, what="the API")
            # The administrator is created after the first model is loaded.
            wait_for(lambda: log_in_over_http(url, "ada"), seconds=30, what="the administrator")
            yield url
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def log_in_over_http(url: str, name: str) -> str:
    """Return a token without the command; an empty text if the API gives none."""
    answer = httpx.post(f"{url}/token", data={"username": name, "password": PASSWORD})
    return str(answer.json()["access_token"]) if answer.is_success else ""


def log_in(url: str, name: str = "ada", password: str = PASSWORD) -> Ended:
    return run(main, "login", url, "--username", name, "--password-stdin", given=password + "\n")


def add(name: str, *options: str, password: str = PASSWORD) -> Ended:
    return run(main, "users", "add", name, *options, "--password-stdin", given=password + "\n")


def refused(ended: Ended) -> str:
    """Return the error sentence of a command."""
    assert ended.exit_code == 1
    assert ended.output == ""
    match = re.fullmatch(r"Error: (.+)\n", ended.error)
    assert match, ended.error
    return match[1]


def cells(output: str, text: str) -> list[str]:
    """Return the cells of the first row with a text."""
    row = next(line for line in output.splitlines() if text in line)
    return [cell.strip() for cell in row.strip("│┃").split("│")]


@dataclass
class Terminal:
    """A command on a terminal: its output so far, and the end at which a person types."""

    process: subprocess.Popen[bytes]
    end: int
    shown: str = ""

    def type_after(self, prompt: str, text: str) -> None:
        """Wait until a prompt is shown, and type a line."""
        seen = len(self.shown)
        wait_for(lambda: self._is_over() or prompt in self.shown[seen:], seconds=30, what=prompt)
        os.write(self.end, f"{text}\n".encode())

    def finish(self) -> int:
        """Read the output to its end, and return the exit code."""
        wait_for(self._is_over, seconds=30, what="the end")
        return self.process.wait(30)

    def _is_over(self) -> bool:
        """Read the available output; return whether it has ended."""
        if not select.select([self.end], [], [], 0)[0]:
            return False
        try:
            part = os.read(self.end, 4096).decode()
        except OSError:  # on Linux, a terminal that no process has open
            return True
        self.shown += part
        return not part


class OnATerminal:
    """Starts commands on terminals, and ends them."""

    def __init__(self) -> None:
        self._started: list[Terminal] = []

    def __call__(self, *arguments: str) -> Terminal:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "slipway_cli.cli", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        terminal = Terminal(process, ours)
        self._started.append(terminal)
        return terminal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for terminal in self._started:
            terminal.process.kill()
            terminal.process.wait()
            os.close(terminal.end)


@pytest.fixture
def on_a_terminal() -> Iterator[OnATerminal]:
    with OnATerminal() as start:
        yield start


def test_login_is_enough_for_a_prediction(api: str) -> None:
    assert log_in(api).exit_code == 0

    ended = run(main, "predict", "iris", "--features", SETOSA)

    assert ended.exit_code == 0
    assert "iris, version 1" in ended.output
    assert cells(ended.output, "setosa")[:2] == ["1", "setosa"]


@pytest.mark.parametrize(("name", "password"), [("ada", "a wrong password"), ("unknown", PASSWORD)])
def test_wrong_name_and_wrong_password_are_rejected_alike(api: str, name: str, password: str) -> None:
    assert refused(log_in(api, name, password)) == "the username or the password is wrong"
    assert not credentials_file().exists()


def test_empty_password_is_reported(api: str) -> None:
    assert "password" in refused(log_in(api, password=""))


def test_password_prompt_hides_the_input(api: str, on_a_terminal: OnATerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal("login", api)

    terminal.type_after("Username: ", "ada")
    terminal.type_after("Password: ", PASSWORD)

    assert terminal.finish() == 0, terminal.shown
    assert "as ada" in terminal.shown
    assert PASSWORD not in terminal.shown
    assert credentials_file().exists()


def test_new_account_prompts_twice_for_the_password(api: str, on_a_terminal: OnATerminal) -> None:
    log_in(api)
    terminal = on_a_terminal("users", "add", "twice")

    terminal.type_after("Password: ", PASSWORD)
    terminal.type_after("Repeat for confirmation: ", "something else")
    terminal.type_after("Password: ", PASSWORD)
    terminal.type_after("Repeat for confirmation: ", PASSWORD)

    assert terminal.finish() == 0, terminal.shown
    assert log_in_over_http(api, "twice")


def test_added_account_can_predict(api: str) -> None:
    log_in(api)

    assert add("bob").output.startswith("Added bob with the role user. To log in: slipway login ")

    log_in(api, "bob")
    assert run(main, "predict", "iris", "--features", VIRGINICA).exit_code == 0


def test_viewer_may_not_predict(api: str) -> None:
    log_in(api)
    add("vera", "--role", "viewer")
    log_in(api, "vera")

    sentence = refused(run(main, "predict", "iris", "--features", SETOSA))

    assert sentence == "a viewer may read models, but not predict; ask an admin for the role user"


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("dave", "short", "the password must have 8 to 128 characters"),
        ("davedave", "DaveDave", "the password is too easy to guess"),
        ("da ve", PASSWORD, "a name has 1 to 64 of"),
    ],
)
def test_bad_name_or_password_is_reported_with_the_rule(api: str, name: str, password: str, words: str) -> None:
    log_in(api)

    assert words in refused(add(name, password=password))


def test_rejected_token_suggests_to_log_in_again(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(api)
    monkeypatch.setenv("SLIPWAY_TOKEN", "not.a.token")

    assert refused(run(main, "predict", "iris", "--features", SETOSA)).endswith("; run `slipway login URL`")


def test_csv_with_reordered_header_predicts_like_one_without(api: str, tmp_path: Path) -> None:
    named, plain = tmp_path / "named.csv", tmp_path / "plain.csv"
    named.write_text(f"{NAMES}\n0.2,5.1,1.4,3.5\n2.3,6.7,5.2,3.0\n")
    plain.write_text(f"{SETOSA}\n{VIRGINICA}\n")
    log_in(api)

    [by_name], [by_place] = (
        json.loads(run(main, "predict", "iris", "--csv", str(path), "--json").output) for path in (named, plain)
    )

    assert by_name["label"] == ["setosa", "virginica"]
    assert by_name["probabilities"] == by_place["probabilities"]


def test_rows_of_several_requests_are_all_predicted(api: str, tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text(f"{SETOSA}\n{VIRGINICA}\n" * 1_000)
    log_in(api)

    ended = run(main, "predict", "iris", "--csv", str(path), "--json")

    labels = [label for part in json.loads(ended.output) for label in part["label"]]
    assert labels == ["setosa", "virginica"] * 1_000


@pytest.mark.parametrize(
    ("model", "features", "words"),
    [
        ("tulip", SETOSA, "tulip"),
        ("iris", "5.1,3.5", "expected 4 features"),
        ("iris", "1e39,1,1,1", "is too large for a 32-bit float"),
    ],
)
def test_rejection_by_the_api_is_reported_in_its_words(api: str, model: str, features: str, words: str) -> None:
    log_in(api)

    assert words in refused(run(main, "predict", model, "--features", features))


def test_address_of_another_server_is_reported(mlflow_url: str) -> None:
    assert refused(log_in(mlflow_url)).startswith(f"the server at {mlflow_url} is not Slipway's API")


@pytest.fixture
def model(request: pytest.FixtureRequest, mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a model with two versions in the real registry, the first of them Production."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    name = f"cli-{request.node.name.partition('[')[0]}"
    with MlflowRegistry(mlflow_url) as registry:
        for accuracy in (0.9, 0.95):
            version = add_version(mlflow_url, name, bundle_files(name))
            metrics = {"accuracy": accuracy, "f1_macro": 0.5}
            reasons = (f"accuracy {accuracy:.4f} meets the floor", "no champion")
            gate = GateResult(checks=tuple(GateCheck(name="a check", passed=True, reason=reason) for reason in reasons))
            registry.set_version_tag(name, version, "slipway.metrics", json.dumps(metrics))
            registry.set_version_tag(name, version, "slipway.data_version", "sha256:" + "d" * 64)
            registry.set_version_tag(name, version, GATE_TAG, gate.to_tag())
        registry.set_alias(name, PRODUCTION, "1")
    return name


def test_models_are_listed_by_name_with_their_production_version(model: str) -> None:
    ended = run(main, "models", "list")
    found = json.loads(run(main, "models", "list", "--json").output)

    assert ended.exit_code == 0
    assert cells(ended.output, model)[:2] == [model, "1"]
    assert {"name": model, "production": "1", "staging": None, "candidates": {}, "description": ""} in found
    assert [item["name"] for item in found] == sorted(item["name"] for item in found)


def test_versions_are_listed_newest_first_with_metrics(model: str) -> None:
    ended = run(main, "models", "show", model)

    assert f"{model}: Production is 1" in ended.output
    assert ended.output.index("accuracy 0.9500 meets") < ended.output.index("accuracy 0.9000 meets")
    assert ended.output.index("accuracy 0.9500") < ended.output.index("accuracy 0.9000")
    assert ended.output.count("no champion") == 2


def test_versions_are_shown_as_json(model: str) -> None:
    found = json.loads(run(main, "models", "show", model, "--json").output)

    assert (found["name"], found["production"]) == (model, "1")
    assert [(v["version"], v["production"]) for v in found["versions"]] == [("2", False), ("1", True)]
    newest = found["versions"][0]
    assert newest["metrics"] == {"accuracy": 0.95, "f1_macro": 0.5}
    assert newest["gate"] == ["accuracy 0.9500 meets the floor", "no champion"]
    assert newest["data_version"] == "sha256:" + "d" * 64
    assert newest["run_id"]


def test_manual_promotion_is_in_the_history(model: str, mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    before = time.time()

    ended = run(main, "models", "promote", model, "2", "--reason", "the second is better")

    assert (ended.exit_code, ended.output) == (
        0,
        f"Production of {model} is now version 2; before, it was version 1.\n",
    )
    with MlflowRegistry(mlflow_url) as registry:
        registered = registry.get_model(model)
    assert registered.aliases[PRODUCTION] == "2"
    (event,) = history(registered.tags)
    assert (event.action, event.version, event.from_version) == ("promote", "2", "1")
    assert (event.by, event.reason) == ("ada", "the second is better")
    assert event.metrics == {"accuracy": 0.95, "f1_macro": 0.5}
    assert event.at.timestamp() == pytest.approx(before, abs=60)


def test_staging_and_candidates_are_set_shown_and_removed(model: str, mlflow_url: str) -> None:
    with MlflowRegistry(mlflow_url) as registry:
        registry.set_alias(model, "candidate-linear", "2")

    ended = run(main, "models", "stage", model, "2")

    assert (ended.exit_code, ended.output) == (0, f"Staging of {model} is now version 2.\n")
    assert cells(run(main, "models", "list").output, model)[:4] == [model, "1", "2", "linear"]
    shown = run(main, "models", "show", model).output
    assert all(alias in shown for alias in ("Staging", "candidate-linear", "Production"))
    found = json.loads(run(main, "models", "show", model, "--json").output)
    assert (found["staging"], found["candidates"]) == ("2", {"linear": "2"})
    assert [sorted(v["aliases"]) for v in found["versions"]] == [["Staging", "candidate-linear"], ["Production"]]
    for sentence in (f"Staging of {model} is removed: version 2.\n", f"{model} has no Staging version.\n"):
        assert run(main, "models", "unstage", model).output == sentence


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "no-such-model"),
        ("promote", "no-such-model", "1"),
        ("promote", "MODEL", "99"),
        ("stage", "MODEL", "99"),
        ("unstage", "no-such-model"),
    ],
)
def test_missing_model_or_version_is_reported(model: str, arguments: tuple[str, ...]) -> None:
    named = [model if argument == "MODEL" else argument for argument in arguments]

    sentence = refused(run(main, "models", *named))

    assert re.match(r"no model named .* is registered; |version .* of .* does not exist; ", sentence)
    assert "`slipway models " in sentence


@pytest.mark.parametrize("version", ["latest", "1.5", "one"])
def test_invalid_version_is_rejected_and_moves_nothing(model: str, version: str) -> None:
    sentence = refused(run(main, "models", "promote", model, version))

    assert version in sentence
    assert json.loads(run(main, "models", "show", model, "--json").output)["production"] == "1"
