"""Signatures: keys and their files, and messages that are valid for one purpose only."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from slipway_core.errors import ConfigurationError, SignatureError
from slipway_core.signing import Purpose, Signer, TrustedKeys
from slipway_core.signing.files import create_key, read_signer, read_trusted_keys
from slipway_core.signing.keys import new_private_key
from slipway_core.signing.messages import sign_event, sign_version, verify_event, verify_version
from support.signing import new_signer, trusting

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DIGEST = "sha256:" + "d" * 64
EVENT = '{"action":"promote","version":"1","metrics":{"accuracy":0.97},"serial":1}'
KEY = base64.b64encode(bytes(range(32))).decode()


def _sec1() -> bytes:
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_version_signature_covers_model_number_digest_and_time() -> None:
    signer = new_signer()
    trusted, tag = trusting(signer), sign_version(signer, "iris", "3", DIGEST, NOON)
    found, key = verify_version(trusted, tag, "iris", "3")
    assert (found.digest, found.at, key.key_id) == (DIGEST, NOON, signer.key_id)
    for model, version, text in (
        ("wine", "3", tag),
        ("iris", "4", tag),
        ("iris", "3", tag.replace("dd", "de", 1)),
        ("iris", "3", tag.replace("2026-11-20T12", "2026-11-20T13")),
    ):
        with pytest.raises(SignatureError, match="does not match"):
            verify_version(trusted, text, model, version)


def test_event_signature_covers_every_field_and_its_place() -> None:
    signer = new_signer()
    trusted, tag = trusting(new_signer(), events=signer), sign_event(signer, "iris", 7, EVENT)
    key, signed = verify_event(trusted, "iris", 7, tag)
    assert key.events_only
    assert json.loads(signed) == json.loads(EVENT)
    for model, number, text in (
        ("wine", 7, tag),
        ("iris", 8, tag),
        ("iris", 7, tag.replace('"version":"1"', '"version":"2"')),
        ("iris", 7, tag.replace("0.97", "0.98")),
        ("iris", 7, tag.replace('"serial":1', '"serial":1,"more":null')),
    ):
        with pytest.raises(SignatureError, match="does not match"):
            verify_event(trusted, model, number, text)


@pytest.mark.parametrize("tag", [EVENT, "[]", "", '{"signature":3}', "[" * 100_000, "[" * 5_000])
def test_event_without_a_signature_is_not_accepted(tag: str) -> None:
    with pytest.raises(SignatureError, match=r"not signed|malformed|more than 50000"):
        verify_event(trusting(new_signer()), "iris", 1, tag)


def test_deeply_nested_event_is_not_accepted() -> None:
    # Around the recursion limit, the tag can be read, but not written.
    for depth in range(1, 1_100):
        with pytest.raises(SignatureError, match=r"not a trusted key|malformed"):
            verify_event(trusting(new_signer()), "iris", 1, f'{{"signature":"","a":{"[" * depth}{"]" * depth}}}')


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "{}",
        '{"digest":"d","at":"2026-11-20","signature":""}',
        '{"digest":"d","at":"0001-01-01T00:00:00+23:00","signature":""}',
        "null",
    ],
)
def test_malformed_version_signature_is_not_accepted(tag: str) -> None:
    with pytest.raises(SignatureError, match="malformed"):
        verify_version(trusting(new_signer()), tag, "iris", "1")


def test_signature_is_valid_for_its_purpose_and_key_only() -> None:
    signer, events = new_signer(), new_signer()
    trusted = trusting(signer, events=events)
    with pytest.raises(SignatureError, match="does not match"):
        trusted.verify(signer.sign(b"text", Purpose.EVENT), b"text", Purpose.VERSION)
    with pytest.raises(SignatureError, match=r"api \(.*may sign only events"):
        trusted.verify(events.sign(b"text", Purpose.VERSION), b"text", Purpose.VERSION)
    with pytest.raises(SignatureError, match="not a trusted key"):
        trusted.verify(new_signer().sign(b"text", Purpose.VERSION), b"text", Purpose.VERSION)
    for damaged in ("", ".", signer.key_id, f"{signer.key_id}.ü", f"{signer.key_id}.AAAA", "x" * 10_000):
        with pytest.raises(SignatureError) as refused:
            trusted.verify(damaged, b"text", Purpose.VERSION)
        assert len(str(refused.value)) < 200


def test_trusted_keys_are_read_from_lines() -> None:
    signers = [new_signer() for _ in range(3)]
    text = (
        f"# the trainer\n{signers[0].public_key('trainer')}\n\n{signers[1].public_key('ci')}  # since March\n"
        f"{signers[2].public_key('api', events_only=True)}\n"
    )
    found = [(key.key_id, key.name, key.events_only) for key in TrustedKeys.parse(text)]
    names = ("trainer", "ci", "api")
    assert found == [(s.key_id, name, name == "api") for s, name in zip(signers, names, strict=True)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "include none that may sign versions"),
        (f"{KEY} api events", "include none that may sign versions"),
        (f"{KEY} one\n{KEY} two", "line 2 .* repeats the key"),
        (KEY, "line 1 .* is not `KEY NAME`"),
        (f"{KEY} one version", "line 1 .* is not `KEY NAME`"),
        ("AAAA one", "line 1 .* is not `KEY NAME`"),
        ("not+base64! one", "line 1 .* is not `KEY NAME`"),
    ],
)
def test_malformed_trusted_keys_are_reported(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        TrustedKeys.parse(text)


def test_key_file_is_private_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "key.pem"
    signer = create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_signer(path).key_id == signer.key_id  # type: ignore[union-attr]
    with pytest.raises(ConfigurationError, match="already exists"):
        create_key(path)
    for mode in (0o604, 0o620, 0o666):
        path.chmod(mode)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            read_signer(path)
    path.chmod(0o440)  # as Kubernetes mounts a secret
    assert read_signer(path) is not None


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n", _sec1(), b"\xff" * 99]
)
def test_unusable_signing_key_is_reported_without_its_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="slipway signing create") as refused:
        read_signer(path)
    assert refused.value.__cause__ is None
    assert "BEGIN" not in str(refused.value)


def test_missing_key_files_are_reported_and_unset_ones_are_not(tmp_path: Path) -> None:
    assert read_signer(None) is None
    assert read_trusted_keys(None) is None
    with pytest.raises(ConfigurationError, match="SLIPWAY_SIGNING_KEY_FILE names a file that cannot be read"):
        read_signer(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="SLIPWAY_TRUSTED_KEYS names a file that cannot be read"):
        read_trusted_keys(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not text"):
        read_trusted_keys(tmp_path / "binary")


def test_private_key_is_not_part_of_a_representation() -> None:
    pem = new_private_key()
    signer = Signer.from_pem(pem.encode())
    assert repr(signer) == "Signer()"
    assert pem.splitlines()[1] not in str(signer.public_key("trainer"))
