"""Several workers behind one socket: shared users and models, summed metrics, and replaced workers."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.api_process import ApiProcess, api_process
from support.loaded_service import children
from support.postgres import new_database
from support.waiting import wait_for

pytestmark = pytest.mark.slow

WORKERS = 2
ROW = {"features": [5.1, 3.5, 1.4, 0.2]}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, postgres_address: str) -> Iterator[ApiProcess]:
    folder = tmp_path_factory.mktemp("workers")
    database = {"DATABASE_URL": new_database(postgres_address)}
    with api_process(folder, "serve", f"--workers={WORKERS}", environment=database) as api:
        yield api


def sample(api: ApiProcess, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples with these labels."""
    page = httpx.get(f"{api.url}/metrics", timeout=30).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_configured_number_of_workers_responds(api: ApiProcess) -> None:
    assert len(children(api, "spawn_main")) == WORKERS


def test_counters_of_all_workers_are_summed(api: ApiProcess) -> None:
    before = sample(api, "slipway_prediction_rows_total", model="iris")

    # Each request uses a new connection, so that more than one worker responds.
    statuses = {api.call("POST", "/predict", json=ROW).status_code for _ in range(40)}

    assert statuses == {200}
    assert sample(api, "slipway_prediction_rows_total", model="iris") == before + 40


def test_state_shared_by_all_workers_is_exported_once(api: ApiProcess) -> None:
    assert sample(api, "slipway_model_info", model="iris", version="1") == 1
    assert sample(api, "slipway_model_training_metric", model="iris", version="1", metric="accuracy") == 0.97
    assert sample(api, "slipway_ready") == 1
    assert sample(api, "slipway_accounts_up") == 1
    assert sample(api, "slipway_registry_up") == 0


def test_added_user_is_known_to_all_workers_at_once(api: ApiProcess) -> None:
    user = {"username": "wanda", "password": "correct horse battery", "role": "user"}
    assert api.call("POST", "/users", json=user).status_code == 201
    headers = {"Authorization": f"Bearer {api.log_in('wanda')}"}

    # Each request uses a new connection.
    asked = [httpx.get(f"{api.url}/models", headers=headers, timeout=30).status_code for _ in range(20)]

    assert set(asked) == {200}


def test_disabled_user_is_rejected_by_all_workers_within_5_s(api: ApiProcess) -> None:
    user = {"username": "dora", "password": "correct horse battery", "role": "user"}
    assert api.call("POST", "/users", json=user).status_code == 201
    headers = {"Authorization": f"Bearer {api.log_in('dora')}"}
    assert api.call("PATCH", "/users/dora", json={"disabled": True}).status_code == 200

    def all_refuse() -> bool:
        asked = [httpx.get(f"{api.url}/models", headers=headers, timeout=30).status_code for _ in range(20)]
        return set(asked) == {401}

    wait_for(all_refuse, seconds=5, what="every worker to refuse")


def create_key(api: ApiProcess, **fields: object) -> tuple[str, str]:
    """Create a key; return its text and id."""
    body = api.call("POST", "/keys", json={"name": "scores", **fields}).raise_for_status().json()
    return body["key"], body["id"]


def statuses(api: ApiProcess, credential: str, path: str = "/predict") -> set[int]:
    """Return the statuses of 10 predictions, each over a new connection, so that every worker responds."""
    headers = {"X-API-Key" if credential.startswith("slk_") else "Authorization": credential}
    return {httpx.post(f"{api.url}{path}", headers=headers, json=ROW, timeout=30).status_code for _ in range(10)}


def test_new_key_is_accepted_by_all_workers_at_once(api: ApiProcess) -> None:
    for _ in range(3):
        key, _ = create_key(api)
        assert statuses(api, key) == {200}


def test_ended_key_or_token_is_rejected_by_all_workers_within_5_s(api: ApiProcess) -> None:
    token = f"Bearer {api.log_in()}"
    revoked, key_id = create_key(api)
    owner = {"username": "kim", "password": "correct horse battery", "role": "user"}
    assert api.call("POST", "/users", json=owner).status_code == 201
    own = {"Authorization": f"Bearer {api.log_in('kim')}"}
    orphan = httpx.post(f"{api.url}/keys", headers=own, json={"name": "scores"}, timeout=30).json()["key"]
    ended = (token, revoked, orphan)
    assert {status for one in ended for status in statuses(api, one)} == {200}

    assert api.call("DELETE", f"/keys/{key_id}").status_code == 204
    assert api.call("DELETE", "/users/kim").status_code == 204
    assert httpx.post(f"{api.url}/token/revoke", headers={"Authorization": token}, timeout=30).status_code == 204

    wait_for(
        lambda: all(statuses(api, one) == {401} for one in ended), seconds=5, what="every worker to reject all of them"
    )


def test_expired_key_is_rejected_by_all_workers_within_5_s(api: ApiProcess) -> None:
    key, _ = create_key(api, expires_in=6)
    headers = {"X-API-Key": key}
    assert httpx.post(f"{api.url}/predict", headers=headers, json=ROW, timeout=30).status_code == 200

    wait_for(lambda: statuses(api, key) == {401}, seconds=6 + 5, what="every worker to reject it")


def test_key_for_another_model_is_rejected_by_all_workers(api: ApiProcess) -> None:
    key, _ = create_key(api, models=["demand"])

    assert statuses(api, key) == {403}
    assert statuses(api, key, "/models/demand/predict") == {200}
    assert statuses(api, key, "/models/iris/predict") == {403}


def test_no_key_or_token_appears_in_logs_metrics_or_arguments(api: ApiProcess) -> None:
    key, _ = create_key(api, actions=["predict", "read"])
    token = api.log_in()
    for credential in (key, f"Bearer {token}", key[:-1] + "_", f"Bearer {token}x"):
        statuses(api, credential)

    processes = [psutil.Process(api.process.pid), *psutil.Process(api.process.pid).children(recursive=True)]
    arguments = " ".join(" ".join(process.cmdline()) for process in processes)
    metrics = httpx.get(f"{api.url}/metrics", timeout=30).text
    log = api.log.read_text()

    assert "account_event" in log
    for secret in (key[4:], token[:-1]):
        assert secret[-40:] not in log + metrics + arguments
    assert "slk_" not in log + metrics + arguments


def test_dead_worker_is_replaced_and_its_counters_stay(api: ApiProcess) -> None:
    counted = sample(api, "slipway_prediction_rows_total", model="iris")
    victim = children(api, "spawn_main")[0]

    os.kill(victim.pid, signal.SIGKILL)

    wait_for(
        lambda: (
            len(children(api, "spawn_main")) == WORKERS
            and victim.pid not in {worker.pid for worker in children(api, "spawn_main")}
        ),
        seconds=30,
        what="another worker",
    )
    wait_for(lambda: sample(api, "slipway_model_info", model="iris", version="1") == 1, seconds=30, what="its model")
    assert sample(api, "slipway_prediction_rows_total", model="iris") >= counted


def test_new_worker_accepts_no_request_before_it_is_ready(api: ApiProcess) -> None:
    old = {worker.pid for worker in children(api, "spawn_main")}
    statuses: list[int] = []

    with contextlib.ExitStack() as open_clients:

        def new_one_answers() -> bool:
            client = open_clients.enter_context(httpx.Client(headers=api.headers, timeout=30))
            with contextlib.suppress(httpx.TransportError):  # one that the dead worker had let in is cut off
                statuses.append(client.post(f"{api.url}/predict", json=ROW).status_code)
            new = [worker for worker in children(api, "spawn_main") if worker.pid not in old]
            return any(one.status == psutil.CONN_ESTABLISHED for worker in new for one in worker.net_connections())

        os.kill(min(old), signal.SIGKILL)
        wait_for(new_one_answers, seconds=30, what="a new worker that lets somebody in")

    assert set(statuses) == {200}


def test_several_workers_reject_sqlite(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"2 workers need a database .* set DATABASE_URL to postgresql://"),
        api_process(tmp_path, environment={"SLIPWAY_WORKERS": "2"}),
    ):
        pass
