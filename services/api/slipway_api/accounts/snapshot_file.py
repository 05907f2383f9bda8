"""The snapshot of accounts, API keys and revoked tokens on disk, for a restart while the database is unavailable.

It contains no password hashes, and only digests of keys. Its signature prevents a process with write access to the
cache from adding admins.
"""

import hashlib
import hmac
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, FiniteFloat, StrictInt, StringConstraints, ValidationError

from slipway_api.accounts.key_models import CachedKey, KeyAction
from slipway_api.accounts.models import CachedAccount, Role, Snapshot
from slipway_core.atomic_file import OWNER_ONLY, atomic_file
from slipway_core.logging import get_logger

SNAPSHOT_FILE = "accounts.json"
# An unchanged snapshot is saved again after this time, to keep its age low.
SAVE_SECONDS = 30.0
# Tolerance between two readings of the clock.
CLOCK_SKEW_SECONDS = 1.0

log = get_logger("slipway.accounts")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: uuid.UUID
    name: Annotated[str, StringConstraints(max_length=64)]
    role: Role
    version: StrictInt
    disabled: bool


class _Key(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: uuid.UUID
    user_id: uuid.UUID
    digest: str
    models: frozenset[str] | None
    actions: frozenset[KeyAction]
    expires: FiniteFloat | None


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    read_at: FiniteFloat
    accounts: list[_Entry]
    # Files of earlier releases have neither.
    keys: list[_Key] = []
    revoked: dict[uuid.UUID, FiniteFloat] = {}


class _Signed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    content: str
    # HMAC-SHA256 over the content, in hexadecimal.
    signature: str


class SignedSnapshotFile:
    """A file beside the bundle cache, readable by its owner only. Several workers may write it.

    Not thread-safe: one refresh at a time uses it.
    """

    def __init__(self, folder: Path, secret_key: str, clock: Callable[[], float] = time.time) -> None:
        self._path = folder / SNAPSHOT_FILE
        # A separate key, so that a signature of the file cannot serve as the signature of a token.
        self._key = hashlib.sha256(b"slipway accounts snapshot\0" + secret_key.encode()).digest()
        self._clock = clock
        self._saved: Snapshot | None = None
        self._saved_at = 0.0
        self._failing = False

    def save(self, snapshot: Snapshot) -> None:
        """Save a snapshot that was read just now; an unchanged one at most every SAVE_SECONDS."""
        now = self._clock()
        if snapshot == self._saved and 0 <= now - self._saved_at < SAVE_SECONDS:
            return
        content = _Content(
            read_at=now,
            accounts=[_Entry(id=i, **vars(account)) for i, account in snapshot.accounts.items()],
            keys=[_Key(**vars(key)) for key in snapshot.keys.values()],
            revoked=dict(snapshot.revoked),
        ).model_dump_json()
        try:
            with atomic_file(self._path, mode=OWNER_ONLY) as out:
                out.write(_Signed(content=content, signature=self._sign(content)).model_dump_json().encode())
        except OSError as error:
            if not self._failing:
                log.warning("accounts_snapshot_not_written", reason=error.strerror)
            self._failing = True
            return
        self._saved, self._saved_at, self._failing = snapshot, now, False

    def load(self) -> tuple[Snapshot, float] | None:
        """Return the saved snapshot and its age in seconds; None without a valid file."""
        try:
            signed = _Signed.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            _log_rejected("it cannot be read")
            return None
        if not hmac.compare_digest(self._sign(signed.content).encode(), signed.signature.encode()):
            _log_rejected("its signature is wrong")
            return None
        try:
            content = _Content.model_validate_json(signed.content)
        except ValidationError:  # written by another release
            _log_rejected("it cannot be read")
            return None
        age = self._clock() - content.read_at
        if age < -CLOCK_SKEW_SECONDS:
            _log_rejected("its time is in the future")
            return None
        accounts = {one.id: CachedAccount(one.name, one.role, one.version, one.disabled) for one in content.accounts}
        keys = {one.id: CachedKey(**dict(one)) for one in content.keys}
        return Snapshot(accounts, keys, content.revoked), max(age, 0.0)

    def _sign(self, content: str) -> str:
        return hmac.new(self._key, content.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _log_rejected(reason: str) -> None:
    log.warning("accounts_snapshot_refused", reason=reason)
