"""The folder that holds everything the embedded stack writes."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from slipway_cli.embedded.private_folder import make_private
from slipway_cli.errors import StackError
from slipway_core.atomic_file import write_secret
from slipway_core.policy import new_key, new_password


class Ports(NamedTuple):
    """The ports of a stack."""

    api: int
    mlflow: int


class Home:
    """Names and makes the folder's files. Secrets are readable by their owner only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.logs = root / "logs"
        self.cache = root / "cache"
        self.journal = root / "journal"
        self.artifacts = root / "artifacts"
        self.work = root / "work"
        self.mlflow_database = root / "mlflow.db"
        self.slipway_database = root / "slipway.db"
        self.password_file = root / "admin-password"
        self.key_file = root / "secret-key"
        self.groups_file = root / "processes"

    def make(self) -> str | None:
        """Make the folder and what is in it, private to this account.

        Returns:
            A note for the person if other accounts had access to an existing folder.

        Raises:
            StackError: it cannot be written, or belongs to another account.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            note = make_private(self.root)
            for folder in (self.logs, self.cache, self.artifacts, self.work):
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise StackError(
                f"the folder {self.root} cannot be written ({error.strerror}): name another with --home"
            ) from error
        return note

    @contextmanager
    def locked(self, ports: Ports | None = None) -> Iterator[None]:
        """Hold the folder for this process alone.

        Args:
            ports: where the stack listens, for others to find.

        Raises:
            StackError: another stack holds it.
        """
        try:
            lock = (self.root / "lock").open("a")
        except OSError as error:
            raise StackError(f"{self.root / 'lock'} cannot be opened: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StackError(
                    f"a stack is running on {self.root} already: end it first, or name another folder with --home"
                ) from error
            lock.truncate(0)
            if ports is not None:
                print(*ports, file=lock, flush=True)
            yield

    def ports(self) -> Ports | None:
        """Return the ports of the stack that holds the folder; None if they are not recorded."""
        try:
            api, mlflow = (self.root / "lock").read_text(encoding="utf-8").split()
            return Ports(int(api), int(mlflow))
        except (OSError, ValueError):
            return None

    def is_locked(self) -> bool:
        """Return whether a process holds the folder, without changing anything."""
        try:
            with (self.root / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False  # the lock file does not exist, or belongs to another account
        return False

    def secret_key(self) -> str:
        """Return the key that signs tokens, made at the first call."""
        key, _ = _kept(self.key_file, new_key)
        return key

    def admin_password(self, given: str | None) -> tuple[str, bool]:
        """Return the first administrator's password, and whether it is new.

        Args:
            given: what the person asked for; it counts at the first start only, as the account is made then.
        """
        return _kept(self.password_file, lambda: given or new_password())


def _kept(path: Path, make: Callable[[], str]) -> tuple[str, bool]:
    """Return the secret that a file holds, and whether it was made just now.

    Raises:
        StackError: the file cannot be read or written.
    """
    try:
        if path.exists():
            return path.read_text(encoding="utf-8").strip(), False
        secret = make()
        write_secret(path, secret + "\n")
    except OSError as error:
        raise StackError(f"{path} cannot be read or written ({error.strerror}): is it another user's?") from error
    return secret, True
