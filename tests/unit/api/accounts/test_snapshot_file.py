"""The snapshot of accounts on disk: its content, when it is saved, and when it is rejected."""

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.typing import EventDict

from slipway_api.accounts.key_models import CachedKey, KeyAction
from slipway_api.accounts.models import CachedAccount, Role, Snapshot
from slipway_api.accounts.snapshot_file import SAVE_SECONDS, SNAPSHOT_FILE, SignedSnapshotFile
from slipway_core.registry.memory import InMemoryRegistry
from support.api import PASSWORD, SECRET_KEY, StartApi
from support.clock import Clock
from support.waiting import wait_for

UMA = uuid.uuid4()
KEY = CachedKey(uuid.uuid4(), UMA, "0" * 64, frozenset({"iris"}), frozenset({KeyAction.PREDICT}), 2e9)
ENDLESS = CachedKey(uuid.uuid4(), UMA, "1" * 64, None, frozenset(KeyAction), None)
KNOWN = Snapshot(
    {
        UMA: CachedAccount("uma", Role.USER, 3, disabled=False),
        uuid.uuid4(): CachedAccount("ada", Role.ADMIN, 1, disabled=True),
    },
    {KEY.id: KEY, ENDLESS.id: ENDLESS},
    {uuid.uuid4(): 2e9},
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / SNAPSHOT_FILE


@pytest.fixture
def file(path: Path, clock: Clock) -> SignedSnapshotFile:
    return SignedSnapshotFile(path.parent, SECRET_KEY, clock)


def test_load_returns_saved_snapshot_and_age(file: SignedSnapshotFile, path: Path, clock: Clock) -> None:
    file.save(KNOWN)
    clock.now += 90

    assert SignedSnapshotFile(path.parent, SECRET_KEY, clock).load() == (KNOWN, 90)


def test_save_writes_one_file_readable_by_owner_only(file: SignedSnapshotFile, path: Path) -> None:
    file.save(KNOWN)

    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_unchanged_snapshot_is_saved_again_after_interval(file: SignedSnapshotFile, path: Path, clock: Clock) -> None:
    file.save(KNOWN)
    written = path.stat().st_ino
    clock.now += SAVE_SECONDS - 1
    file.save(replace(KNOWN))
    assert path.stat().st_ino == written

    clock.now += 1
    file.save(replace(KNOWN))

    assert file.load() == (KNOWN, 0)


def test_changed_snapshot_is_saved_at_once(file: SignedSnapshotFile) -> None:
    file.save(KNOWN)

    file.save(Snapshot({}))

    assert file.load() == (Snapshot({}), 0)


def test_load_returns_none_without_file(file: SignedSnapshotFile, logs: list[EventDict]) -> None:
    assert file.load() is None
    assert logs == []


def forge(path: Path) -> None:
    signed = json.loads(path.read_text())
    path.write_text(json.dumps({**signed, "content": signed["content"].replace('"user"', '"admin"')}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_bytes(b"\xff" * 100), "cannot be read"),
        (lambda path: path.write_text("{}"), "cannot be read"),
        (lambda path: path.write_text('{"content": "{}", "signature": "é"}'), "signature"),
        (forge, "signature"),
    ],
)
def test_damaged_file_is_rejected_and_logged(
    file: SignedSnapshotFile, path: Path, logs: list[EventDict], damage: object, reason: str
) -> None:
    file.save(KNOWN)
    assert callable(damage)
    damage(path)

    assert file.load() is None

    assert [entry["event"] for entry in logs] == ["accounts_snapshot_refused"]
    assert reason in logs[0]["reason"]


def test_file_signed_with_another_key_is_rejected(file: SignedSnapshotFile, path: Path, clock: Clock) -> None:
    file.save(KNOWN)

    assert SignedSnapshotFile(path.parent, SECRET_KEY[::-1], clock).load() is None


def test_file_dated_in_the_future_is_rejected(file: SignedSnapshotFile, clock: Clock, logs: list[EventDict]) -> None:
    file.save(KNOWN)
    clock.now -= 10

    assert file.load() is None
    assert "future" in logs[0]["reason"]


def test_unwritable_folder_is_logged_once(tmp_path: Path, clock: Clock, logs: list[EventDict]) -> None:
    (tmp_path / "file").touch()
    file = SignedSnapshotFile(tmp_path / "file", SECRET_KEY, clock)

    file.save(KNOWN)
    file.save(KNOWN)

    assert [entry["event"] for entry in logs] == ["accounts_snapshot_not_written"]


# Through the app.


def nowhere(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'nowhere' / 'slipway.db'}"


def test_restart_without_database_uses_snapshot(
    start_api: StartApi, registry: InMemoryRegistry, tmp_path: Path
) -> None:
    api = start_api(registry)
    wait_for((tmp_path / "api" / "cache" / SNAPSHOT_FILE).exists, what="the snapshot")

    restarted = start_api(registry, database_url=nowhere(tmp_path))

    assert restarted.get("/models", role=Role.USER).status_code == 200
    assert restarted.post("/models/iris/reload", role=Role.USER).status_code == 403
    assert restarted.get("/models", token="garbage").status_code == 401
    login = restarted.post("/token", data={"username": "uma", "password": PASSWORD})
    assert login.status_code == 503
    assert api.get("/models", role=Role.USER).status_code == 200


def test_snapshot_contains_no_password_hashes(start_api: StartApi, registry: InMemoryRegistry, tmp_path: Path) -> None:
    start_api(registry)
    path = tmp_path / "api" / "cache" / SNAPSHOT_FILE
    wait_for(path.exists, what="the snapshot")

    assert "uma" in path.read_text()
    assert "argon2" not in path.read_text()


@pytest.mark.parametrize("damage", [forge, lambda path: path.write_text("damaged"), lambda path: path.unlink()])
def test_restart_without_database_or_snapshot_returns_503(
    start_api: StartApi, registry: InMemoryRegistry, tmp_path: Path, damage: object
) -> None:
    start_api(registry)
    path = tmp_path / "api" / "cache" / SNAPSHOT_FILE
    wait_for(path.exists, what="the snapshot")
    kept = tmp_path / "other"
    kept.mkdir()
    (kept / SNAPSHOT_FILE).write_bytes(path.read_bytes())
    assert callable(damage)
    damage(kept / SNAPSHOT_FILE)

    restarted = start_api(registry, database_url=nowhere(tmp_path), cache_dir=kept)

    assert restarted.get("/models", role=Role.ADMIN).status_code == 503


def test_restart_rejects_snapshot_that_is_too_old(
    start_api: StartApi, registry: InMemoryRegistry, tmp_path: Path, logs: list[EventDict]
) -> None:
    api = start_api(registry)
    old = Clock(SignedSnapshotFile(tmp_path, SECRET_KEY)._clock() - 901)
    known = api.app.state.accounts.directory.store.snapshot()
    SignedSnapshotFile(tmp_path / "old", SECRET_KEY, old).save(known)

    restarted = start_api(registry, database_url=nowhere(tmp_path), cache_dir=tmp_path / "old")

    assert restarted.get("/models", role=Role.USER).status_code == 503
    assert "it is too old" in [entry.get("reason") for entry in logs]
