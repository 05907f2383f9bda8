"""Authentication by API key: what reaches the database, what is cached, and when uses are stored."""

import asyncio
import uuid
from dataclasses import replace
from typing import cast

import pytest

from slipway_api.accounts import key_authentication
from slipway_api.accounts.directory import AccountDirectory
from slipway_api.accounts.key_authentication import USE_SECONDS, KeyAuthentication
from slipway_api.accounts.key_models import CachedKey, KeyAction
from slipway_api.accounts.key_text import PATTERN, KeyTexts
from slipway_api.accounts.models import CurrentUser, Role
from slipway_api.accounts.store import AccountStore
from slipway_api.errors import AuthenticationError, NotReadyError
from support.accounts import FakeStore
from support.api import SECRET_KEY
from support.clock import Clock


class Worker:
    """A worker's authentication over a store that counts the reads of all accounts."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.reads = 0
        store.before_snapshot_returns = self._count
        self.texts = KeyTexts(SECRET_KEY)
        self.clock = Clock(1_000.0)
        self.directory = AccountDirectory(lambda: cast("AccountStore", store), 900.0)
        self.keys = KeyAuthentication(self.directory, self.texts, self.clock)
        self.directory.refresh()
        self.directory.first_refresh_done.set()

    def _count(self) -> None:
        self.reads += 1

    def authenticate(self, text: str) -> CurrentUser:
        return asyncio.run(self.keys.authenticate(text.encode()))


@pytest.fixture
def store() -> FakeStore:
    store = FakeStore()
    store.add("uma", "hash", Role.USER)
    return store


@pytest.fixture
def worker(store: FakeStore) -> Worker:
    return Worker(store)


def add_key(store: FakeStore, texts: KeyTexts, *, expires: float | None = None) -> tuple[str, uuid.UUID]:
    """Add a key of uma, as another worker would; return its text and id."""
    text, presented = texts.make()
    key = CachedKey(
        presented.id, store.rows["uma"][0].id, presented.digest, None, frozenset({KeyAction.PREDICT}), expires
    )
    store.cached_keys[key.id] = key
    return text, key.id


def test_keys_have_256_random_bits_and_differ() -> None:
    texts = [KeyTexts(SECRET_KEY).make()[0] for _ in range(20)]

    assert all(PATTERN.fullmatch(text.encode()) for text in texts)
    # 43 characters of base64 are 32 bytes; the other parts are the id and the tag.
    assert len({text[37:80] for text in texts}) == 20


def test_key_created_by_another_worker_is_accepted_at_once(worker: Worker) -> None:
    text, key_id = add_key(worker.store, worker.texts)

    user = worker.authenticate(text)

    assert (user.name, user.key and user.key.id, worker.reads) == ("uma", key_id, 2)


def test_random_keys_do_not_reach_the_database(worker: Worker) -> None:
    genuine, _ = worker.texts.make()
    texts = [KeyTexts("another secret key").make()[0] for _ in range(20)]
    texts += [genuine[:at] + ("A" if genuine[at] != "A" else "B") + genuine[at + 1 :] for at in (40, 90)]

    for text in texts:
        with pytest.raises(AuthenticationError):
            worker.authenticate(text)

    assert worker.reads == 1


def test_known_key_outlives_a_change_of_the_secret_key(store: FakeStore) -> None:
    text, _ = add_key(store, KeyTexts("the previous secret key"))

    assert Worker(store).authenticate(text).name == "uma"


def test_new_key_is_not_ready_while_database_is_unavailable(worker: Worker) -> None:
    text, _ = add_key(worker.store, worker.texts)
    worker.store.away = True
    worker.directory.refresh()

    with pytest.raises(NotReadyError):
        worker.authenticate(text)


def test_another_text_with_the_id_of_a_key_is_rejected(worker: Worker) -> None:
    text, _ = add_key(worker.store, worker.texts)
    worker.authenticate(text)
    other, _ = worker.texts.make()

    with pytest.raises(AuthenticationError):
        worker.authenticate(text[:37] + other[37:])


def test_revoked_or_expired_key_is_rejected_although_its_text_is_cached(worker: Worker) -> None:
    text, key_id = add_key(worker.store, worker.texts)
    worker.authenticate(text)
    key = worker.store.cached_keys[key_id]

    worker.store.cached_keys[key_id] = replace(key, expires=1.0)
    worker.directory.refresh()
    with pytest.raises(AuthenticationError, match="expired"):
        worker.authenticate(text)
    del worker.store.cached_keys[key_id]
    worker.directory.refresh()
    with pytest.raises(AuthenticationError, match="not valid"):
        worker.authenticate(text)
    assert worker.keys._verified == {}


def test_only_verified_keys_are_cached_up_to_a_limit(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_authentication, "MAX_CACHED_KEYS", 2)
    texts = [add_key(worker.store, worker.texts)[0] for _ in range(3)]

    for text in texts:
        worker.authenticate(text)
    with pytest.raises(AuthenticationError):
        worker.authenticate(texts[0][:-1] + "_")

    assert list(worker.keys._verified) == [text.encode() for text in texts[1:]]


def test_use_is_due_once_a_minute(worker: Worker) -> None:
    text, key_id = add_key(worker.store, worker.texts)
    worker.authenticate(text)
    stored: list[float] = []

    for _ in range(2 * int(USE_SECONDS)):
        worker.authenticate(text)
        if uses := worker.keys.due_uses():
            stored.append(uses[key_id])
            worker.keys.mark_stored(uses)
        worker.clock.now += 1

    assert stored == [1_000.0, 1_000.0 + USE_SECONDS]
    del worker.store.cached_keys[key_id]
    worker.directory.refresh()
    worker.keys.mark_stored({})
    assert worker.keys.due_uses() == {}
    assert worker.keys._stored == {}
