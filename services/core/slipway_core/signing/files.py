"""Read and create key files."""

import stat
from pathlib import Path

from slipway_core.atomic_file import write_secret
from slipway_core.errors import ConfigurationError
from slipway_core.signing.keys import Signer, TrustedKeys, new_private_key

# The group may read: Kubernetes mounts secrets for the group of the pod.
NOT_PRIVATE = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
MAX_BYTES = 64 * 1024
SIGNING_VARIABLE = "SLIPWAY_SIGNING_KEY_FILE"
TRUSTED_VARIABLE = "SLIPWAY_TRUSTED_KEYS"


def read_signer(path: Path | None) -> Signer | None:
    """Return the signer of a private key's file; None if no file is set.

    Raises:
        ConfigurationError: the file cannot be read, other accounts can read it, or it is not an Ed25519 key.
    """
    if path is None:
        return None
    content = _read(path, SIGNING_VARIABLE)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & NOT_PRIVATE:
        raise ConfigurationError(
            f"the file of {SIGNING_VARIABLE} is accessible to other accounts (mode {mode:04o}): run `chmod 600 {path}`"
        )
    return Signer.from_pem(content)


def read_trusted_keys(path: Path | None) -> TrustedKeys | None:
    """Return the trusted keys of a file; None if no file is set.

    Raises:
        ConfigurationError: the file cannot be read, or a line is malformed.
    """
    if path is None:
        return None
    try:
        text = _read(path, TRUSTED_VARIABLE).decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the file of {TRUSTED_VARIABLE} is not text: {path}") from error
    return TrustedKeys.parse(text)


def create_key(path: Path) -> Signer:
    """Write a new private key to a file that only this account can read.

    Raises:
        ConfigurationError: the file exists or cannot be written.
    """
    content = new_private_key()
    if path.exists():
        raise ConfigurationError(f"{path} already exists and may be a key in use: name another file")
    try:
        write_secret(path, content)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    return Signer.from_pem(content.encode())


def _read(path: Path, variable: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{variable} names a file that cannot be read: {path} ({error.strerror})") from error
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"{variable} names a file of more than {MAX_BYTES} bytes: {path}")
    return content
