"""`slipway doctor` on signatures: unsigned versions, aliases moved without a signature, and forged events."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slipway_cli.doctor.context import read_context
from slipway_cli.doctor.findings import Finding
from slipway_cli.doctor.signing import check_signatures, check_signing
from slipway_core.registry import PRODUCTION
from slipway_core.registry.events import PromotionEvent, key_of
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.signing.files import create_key
from slipway_core.signing.messages import SIGNATURE_TAG
from support.signing import new_signer, promote_signed, register_signed, trusting

SIGNER = new_signer()
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def registry() -> InMemoryRegistry:
    """Versions 1 and 2 of iris are signed, and version 1 is promoted."""
    registry = InMemoryRegistry()
    for _ in range(2):
        register_signed(registry, SIGNER)
    promote_signed(registry, SIGNER, "1")
    return registry


def _forge(registry: InMemoryRegistry) -> None:
    event = PromotionEvent(action="promote", version="2", from_version="1", by="eve", at=NOON, reason="")
    registry.set_model_tag("iris", key_of(2), event.to_tag())


FINDINGS: dict[str, tuple[Callable[[InMemoryRegistry], None], str, str, str]] = {
    "alias moved": (
        lambda registry: registry.set_alias("iris", PRODUCTION, "2"),
        "broken",
        "moved to version 2 without a signed promotion; the API serves version 1",
        "`slipway models promote iris 2`",
    ),
    "unsigned version": (
        lambda registry: registry.delete_version_tag("iris", "1", SIGNATURE_TAG),
        "broken",
        "version 1 of iris is not signed by a trusted key",
        "`slipway signing sign iris 1`",
    ),
    "no signed event": (
        lambda registry: registry.delete_model_tag("iris", key_of(1)),
        "broken",
        "no trusted key signed the promotion of version 1",
        "`slipway models promote iris 1`",
    ),
    "forged event": (
        _forge,
        "warning",
        "event 2 of its history is not accepted: it is not signed",
        "models history iris",
    ),
}


def test_signed_registry_is_ok_and_names_the_keys(registry: InMemoryRegistry) -> None:
    (finding,) = check_signatures(registry, trusting(SIGNER))
    assert finding == Finding(
        "signatures", "ok", f"trusted keys signed every Production version: key-0 ({SIGNER.key_id})"
    )


@pytest.mark.parametrize(("change", "status", "what", "mend"), FINDINGS.values(), ids=FINDINGS)
def test_unsigned_or_forged_content_is_reported_with_its_remedy(
    registry: InMemoryRegistry, change: Callable[[InMemoryRegistry], None], status: str, what: str, mend: str
) -> None:
    change(registry)
    (finding,) = check_signatures(registry, trusting(SIGNER))
    assert (finding.check, finding.status) == ("model iris", status)
    assert what in finding.what
    assert mend in finding.mend


def test_key_that_is_not_trusted_is_reported(registry: InMemoryRegistry) -> None:
    *_, finding = check_signatures(registry, trusting(new_signer()))
    assert f"signed with the key {SIGNER.key_id}, which is not a trusted key" in finding.what


def test_settings_without_and_with_unusable_keys_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = check_signing(read_context({"home": tmp_path}))
    assert (finding.status, "SLIPWAY_TRUSTED_KEYS is not set" in finding.what) == ("ok", True)
    trusted = tmp_path / "trusted-keys"
    monkeypatch.setenv("SLIPWAY_TRUSTED_KEYS", str(trusted))
    (finding,) = check_signing(read_context({"home": tmp_path}))
    assert (finding.status, str(trusted) in finding.what) == ("broken", True)
    trusted.write_text(f"{SIGNER.public_key('trainer')}\n", encoding="utf-8")
    create_key(tmp_path / "key.pem")
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY_FILE", str(tmp_path / "key.pem"))
    finding, *_ = check_signing(read_context({"home": tmp_path}))
    assert (finding.check, finding.status) == ("SLIPWAY_SIGNING_KEY_FILE", "broken")
    assert "is not trusted" in finding.what
