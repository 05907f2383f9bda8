"""Attacks by a writer of the registry: nothing that a trusted key did not sign replaces the served version."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slipway_api.serving.bundle_cache import SERIAL_FILE, LastServed
from slipway_api.serving.model_ref import ModelRef
from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, digest
from slipway_core.errors import ConfigurationError
from slipway_core.registry import PRODUCTION, STAGING
from slipway_core.registry.base import candidate_alias
from slipway_core.registry.events import EVENT_PREFIX, PromotionEvent, key_of
from slipway_core.registry.promotion import is_promoted, promote, rollback
from slipway_core.registry.sign_existing import sign_bundle, sign_model, sign_models
from slipway_core.registry.signatures import checked_events
from slipway_core.signing import Signer
from slipway_core.signing.messages import SIGNATURE_TAG, sign_event, sign_version
from support.bundles import bundle_files, register
from support.serving import Serving
from support.signing import new_signer, other_files, promote_signed, register_signed, trusting


class Signed(Serving):
    """Versions 1 and 2 of iris were promoted with signatures, and version 2 is served."""

    def __init__(self, cache: Path) -> None:
        self.signer, self.events_signer = new_signer(), new_signer()
        super().__init__(cache)
        self.trusted = trusting(self.signer, events=self.events_signer)
        self.start()
        self.sync()
        for files in (bundle_files(), other_files()):
            promote_signed(self.registry, self.signer, register_signed(self.registry, self.signer, files))
        self.sync()
        assert self.served() == {"iris": "2"}

    def replace(self, version: str, files: dict[str, bytes], *, tags: bool = True) -> None:
        """Replace the files of a version and, as an attacker with access to MLflow can, its tag with their digest."""
        for file, content in files.items():
            self.registry.replace_file("iris", version, file, content)
        if tags:
            self.registry.set_version_tag("iris", version, MANIFEST_TAG, digest(files[MANIFEST_FILE]))

    def copy_signature(self, source: str, target: str, name: str = "iris") -> None:
        tag = self.registry.get_version(name, source).tags[SIGNATURE_TAG]
        self.registry.set_version_tag("iris", target, SIGNATURE_TAG, tag)

    def event(self, number: int, name: str = "iris") -> str:
        return self.registry.get_model(name).tags[key_of(number)]

    def settle(self) -> None:
        """Poll twice: a promotion moves the alias before it adds its event, so the first poll reports nothing."""
        for _ in range(2):
            self.clock.now += 3600
            self.sync(force=True)


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed(tmp_path / "cache")


def _register_unsigned(serving: Signed) -> None:
    register(serving.registry, other_files(shift=0.5), promote=True)


def _sign_with_unknown_key(serving: Signed) -> None:
    number = register_signed(serving.registry, new_signer(), other_files(shift=0.5))
    serving.registry.set_alias("iris", PRODUCTION, number)
    promote_signed(serving.registry, new_signer(), number)


def _sign_with_events_key(serving: Signed) -> None:
    number = register_signed(serving.registry, serving.events_signer, other_files(shift=0.5))
    promote_signed(serving.registry, serving.signer, number)


def _copy_older_bundle_into_new_version(serving: Signed) -> None:
    number = register(serving.registry, bundle_files())
    serving.copy_signature("1", number)
    promote_signed(serving.registry, serving.signer, number)


def _copy_bundle_of_another_model(serving: Signed) -> None:
    files = bundle_files("wine")
    register_signed(serving.registry, serving.signer, files, "wine")
    number = register(serving.registry, files)
    serving.copy_signature("1", number, "wine")
    promote_signed(serving.registry, serving.signer, number)


def _move_alias_back(serving: Signed) -> None:
    serving.registry.set_alias("iris", PRODUCTION, "1")


def _delete_newest_event(serving: Signed) -> None:
    serving.registry.delete_model_tag("iris", key_of(2))
    serving.registry.set_alias("iris", PRODUCTION, "1")


def _delete_all_events(serving: Signed) -> None:
    for number in (1, 2):
        serving.registry.delete_model_tag("iris", key_of(number))
    serving.registry.set_alias("iris", PRODUCTION, "1")


def _renumber_older_event(serving: Signed) -> None:
    serving.registry.set_model_tag("iris", key_of(3), serving.event(1))
    serving.registry.set_alias("iris", PRODUCTION, "1")


def _copy_event_of_another_model(serving: Signed) -> None:
    number = register_signed(serving.registry, serving.signer, bundle_files("wine"), "wine")
    promote_signed(serving.registry, serving.signer, number, "wine")
    serving.registry.set_model_tag("iris", key_of(3), serving.event(1, "wine"))
    serving.registry.set_alias("iris", PRODUCTION, "1")


def _forge_event(serving: Signed) -> None:
    event = PromotionEvent(action="promote", version="1", from_version="2", by="eve", at=datetime.now(UTC), reason="")
    serving.registry.set_model_tag("iris", key_of(3), event.to_tag())
    serving.registry.set_alias("iris", PRODUCTION, "1")


def _write_unreadable_events(serving: Signed) -> None:
    event = '{"action":"promote","version":"1","from":null,"by":"eve","at":"0001-01-01T00:00:00+23:00","reason":""}'
    serving.registry.set_model_tag("iris", key_of(3), event)
    serving.registry.set_model_tag("iris", f"{EVENT_PREFIX}{'9' * 5_000}", event)
    serving.registry.set_alias("iris", PRODUCTION, "1")


def _change_signed_event(serving: Signed) -> None:
    changed = serving.event(2).replace('"version":"2"', '"version":"1"')
    assert changed != serving.event(2)
    serving.registry.set_model_tag("iris", key_of(3), changed)
    serving.registry.set_alias("iris", PRODUCTION, "1")


ATTACKS: dict[str, tuple[Callable[[Signed], None], str]] = {
    "unsigned version": (_register_unsigned, "slipway models promote iris 3"),
    "version and event of an unknown key": (_sign_with_unknown_key, "slipway models promote iris 3"),
    "version signed with the key for events": (_sign_with_events_key, "may sign only events"),
    "older signed bundle as a new version": (_copy_older_bundle_into_new_version, "does not match"),
    "signed bundle of another model": (_copy_bundle_of_another_model, "does not match"),
    "alias moved back": (_move_alias_back, "slipway models promote iris 1"),
    "newest event deleted": (_delete_newest_event, "older than the one"),
    "all events deleted": (_delete_all_events, "no promotion in the history of iris is signed"),
    "older event renumbered": (_renumber_older_event, "slipway models promote iris 1"),
    "event of another model": (_copy_event_of_another_model, "slipway models promote iris 1"),
    "forged event": (_forge_event, "slipway models promote iris 1"),
    "events that cannot be read": (_write_unreadable_events, "slipway models promote iris 1"),
    "changed event": (_change_signed_event, "slipway models promote iris 1"),
}


@pytest.mark.parametrize(("attack", "reason"), ATTACKS.values(), ids=ATTACKS)
def test_attack_on_registry_changes_nothing_that_is_served(
    signed: Signed, attack: Callable[[Signed], None], reason: str
) -> None:
    attack(signed)
    signed.settle()
    assert signed.served()["iris"] == "2"
    assert reason in signed.failure().reason
    assert signed.sample("slipway_model_untrusted", model="iris") == 1
    # Also after restarts, with and without the registry: the cache knows the newest event.
    for offline in (False, True):
        signed.restart(offline=offline)
        signed.settle()
        assert signed.served()["iris"] == "2"


def _replace_unsigned(serving: Signed) -> None:
    serving.replace("2", other_files(shift=0.5))


def _replace_with_older_bundle(serving: Signed) -> None:
    serving.replace("2", bundle_files())
    serving.copy_signature("1", "2")


def _replace_with_bundle_of_another_model(serving: Signed) -> None:
    files = bundle_files("wine")
    register_signed(serving.registry, serving.signer, files, "wine")
    serving.replace("2", files)
    serving.copy_signature("1", "2", "wine")


def _replace_files_only(serving: Signed) -> None:
    serving.replace("2", other_files(shift=0.5), tags=False)


def _replace_with_bundle_signed_again(serving: Signed) -> None:
    """The trainer's key signed another bundle as version 2 of an earlier model of this name."""
    files = other_files(shift=0.5)
    serving.replace("2", files)
    tag = sign_version(serving.signer, "iris", "2", digest(files[MANIFEST_FILE]), datetime.now(UTC))
    serving.registry.set_version_tag("iris", "2", SIGNATURE_TAG, tag)


REPLACEMENTS: dict[str, tuple[Callable[[Signed], None], str]] = {
    "unsigned bundle": (_replace_unsigned, "was changed after it was signed"),
    "older signed bundle": (_replace_with_older_bundle, "does not match"),
    "signed bundle of another model": (_replace_with_bundle_of_another_model, "does not match"),
    "files only": (_replace_files_only, "has the digest"),
    "bundle of an earlier model of the same name": (_replace_with_bundle_signed_again, "has another bundle"),
}


@pytest.mark.parametrize(("attack", "reason"), REPLACEMENTS.values(), ids=REPLACEMENTS)
def test_replaced_bundle_is_not_loaded(
    signed: Signed, tmp_path: Path, attack: Callable[[Signed], None], reason: str
) -> None:
    graph = signed.store.served["iris"].manifest_sha256
    attack(signed)
    signed.registry.fetched.clear()
    signed.settle()
    assert signed.store.served["iris"].manifest_sha256 == graph
    signed.restart()
    signed.settle()
    assert signed.store.served["iris"].manifest_sha256 == graph
    # A new replica has no cache, and must load what the registry has.
    signed.cache = tmp_path / "empty"
    signed.restart()
    signed.settle()
    assert "iris" not in signed.served()
    assert reason in signed.failure().reason
    if attack is not _replace_files_only:
        assert signed.registry.fetched == []  # nothing was fetched, so nothing was parsed


def test_promotion_between_alias_and_event_is_not_reported(signed: Signed) -> None:
    number = register_signed(signed.registry, signed.signer, other_files(shift=0.5))
    signed.registry.set_alias("iris", PRODUCTION, number)
    signed.sync()
    assert signed.store.failure("iris") is None
    promote_signed(signed.registry, signed.events_signer, number)
    signed.sync()
    assert signed.served() == {"iris": number}
    assert signed.sample("slipway_model_untrusted", model="iris") == 0


def test_signed_promotion_ends_the_refusal_of_a_moved_alias(signed: Signed) -> None:
    signed.registry.set_alias("iris", PRODUCTION, "1")
    signed.settle()
    assert signed.failure().version == "1"
    promote_signed(signed.registry, signed.signer, "1")
    signed.sync()
    assert signed.served() == {"iris": "1"}
    assert signed.store.failure("iris") is None


def test_rollback_with_trusted_keys_ignores_forged_events(signed: Signed) -> None:
    register_signed(signed.registry, signed.signer, other_files(shift=0.5))
    event = PromotionEvent(action="promote", version="3", from_version="2", by="eve", at=datetime.now(UTC), reason="")
    signed.registry.set_model_tag("iris", key_of(3), event.to_tag())
    event = rollback(
        signed.registry,
        "iris",
        by="ana",
        at=datetime.now(UTC),
        reason="worse",
        signer=signed.events_signer,
        trusted=signed.trusted,
    )
    signed.sync()
    assert (event.version, signed.served()) == ("1", {"iris": "1"})


def test_unsigned_promotion_of_a_signed_history_names_the_setting(signed: Signed) -> None:
    with pytest.raises(ConfigurationError, match="SLIPWAY_SIGNING_KEY_FILE"):
        promote(signed.registry, "iris", "1", by="ana", at=datetime.now(UTC), reason="")


def test_recreated_model_is_served_after_its_first_signed_promotion(signed: Signed) -> None:
    old_event = signed.event(2)
    signed.registry.delete_model("iris")
    promote_signed(signed.registry, signed.signer, register_signed(signed.registry, signed.signer, other_files()))
    signed.sync()
    assert signed.served() == {"iris": "1"}
    # An event of the deleted model has a higher number and a valid signature, but a lower serial.
    register_signed(signed.registry, signed.signer, bundle_files())
    signed.registry.set_model_tag("iris", key_of(2), old_event)
    signed.registry.set_alias("iris", PRODUCTION, "2")
    signed.settle()
    assert signed.served() == {"iris": "1"}


def test_pinned_version_requires_its_signature_only(signed: Signed) -> None:
    unsigned = register(signed.registry, other_files(shift=0.5))
    signed.restart(("iris@1", f"iris@{unsigned}"))
    assert signed.pinned() == ["iris@1"]
    assert "is not signed by a trusted key" in signed.failure("iris", unsigned).reason


def _stage_unsigned(serving: Signed) -> str:
    return register(serving.registry, other_files(shift=0.5))


def _stage_bundle_of_another_model(serving: Signed) -> str:
    files = bundle_files("wine")
    register_signed(serving.registry, serving.signer, files, "wine")
    number = register(serving.registry, files)
    serving.copy_signature("1", number, "wine")
    return number


def _stage_loaded_version_without_signature(serving: Signed) -> str:
    serving.registry.delete_version_tag("iris", "2", SIGNATURE_TAG)
    return "2"


def _stage_loaded_version_with_another_signature(serving: Signed) -> str:
    serving.copy_signature("1", "2")
    return "2"


STAGED: dict[str, tuple[Callable[[Signed], str], str]] = {
    "unsigned version": (_stage_unsigned, "is not signed by a trusted key"),
    "signed bundle of another model": (_stage_bundle_of_another_model, "does not match"),
    "loaded version without its signature": (_stage_loaded_version_without_signature, "is not signed by a trusted key"),
    "loaded version with another signature": (_stage_loaded_version_with_another_signature, "does not match"),
}


@pytest.mark.parametrize("alias", [STAGING, candidate_alias("forest")])
@pytest.mark.parametrize(("attack", "reason"), STAGED.values(), ids=STAGED)
def test_version_beside_production_requires_its_signature(
    signed: Signed, alias: str, attack: Callable[[Signed], str], reason: str
) -> None:
    signed.registry.set_alias("iris", alias, attack(signed))
    signed.settle()
    failure = signed.store.failure("iris", alias=alias)
    assert failure is not None
    assert reason in failure.reason
    assert ModelRef("iris", alias=alias) not in signed.store.loaded
    signed.registry.set_alias("iris", alias, "1")
    signed.settle()
    assert signed.store.get("iris", alias=alias).version == "1"
    assert signed.served()["iris"] == "2"


@pytest.mark.parametrize("refs", [("iris",), ("iris@2",)])
def test_note_of_another_model_or_version_in_the_cache_is_not_followed(signed: Signed, refs: tuple[str, ...]) -> None:
    note = LastServed.model_validate_json((signed.cache / "iris" / "production.json").read_bytes())
    register_signed(signed.registry, signed.signer, bundle_files("wine"), "wine")
    promote_signed(signed.registry, signed.signer, "1", "wine")
    signed.restart(("iris@2", "wine"))
    assert signed.pinned() == ["iris@2"]
    other = (signed.cache / "wine" / "production.json").read_bytes()
    for file in ("production.json", "pinned-2.json"):
        (signed.cache / "iris" / file).write_bytes(other)
    signed.restart(refs, offline=True)
    assert signed.store.loaded == {}
    (signed.cache / "iris" / "pinned-2.json").write_text(note.model_copy(update={"version": "1"}).model_dump_json())
    signed.restart(("iris@2",), offline=True)
    assert signed.store.loaded == {}


def test_serial_that_could_not_be_stored_is_stored_later(signed: Signed) -> None:
    (signed.cache / "iris" / SERIAL_FILE).unlink()  # as if the disk was full
    signed.sync()
    _delete_newest_event(signed)
    signed.restart()
    signed.settle()
    assert signed.served() == {"iris": "2"}


def test_command_in_a_reason_quotes_a_name_from_the_registry(signed: Signed) -> None:
    name = "iris; reboot"
    for number in (1, 2):
        signed.registry.add_version(name, {}, tags={MANIFEST_TAG: digest(b"")})
        signed.registry.set_alias(name, PRODUCTION, str(number))
    signed.settle()
    assert "slipway models promote 'iris; reboot' 2" in signed.failure(name).reason
    assert "--model 'models:/iris; reboot/2'" in signed.failure(name).reason
    event = promote(signed.registry, "iris", "1", by="ana", at=datetime.now(UTC), reason="", signer=signed.signer)
    tag = sign_event(signed.signer, name, 1, event.model_copy(update={"serial": 1, "digest": ""}).to_tag())
    signed.registry.set_model_tag(name, key_of(1), tag)
    signed.settle()
    assert "slipway signing sign 'iris; reboot' 1" in signed.failure(name).reason


def test_cached_version_of_a_removed_key_is_not_served(signed: Signed) -> None:
    signed.trusted = trusting(new_signer())
    signed.restart(offline=True)
    assert signed.served() == {}


def test_key_rotation_keeps_serving(signed: Signed) -> None:
    old, new = signed.signer, new_signer()
    signed.trusted = trusting(old, new)  # 1. trust the new key, and restart
    signed.restart()
    assert signed.served() == {"iris": "2"}
    sign_model(signed.registry, "iris", new, by="ana", echo=pytest.fail, trusted=signed.trusted)  # 2. sign again
    signed.sync()
    signed.restart()
    assert signed.served() == {"iris": "2"}
    signed.trusted = trusting(new)  # 3. trust the new key only, and restart
    for offline in (False, True):
        signed.restart(offline=offline)
        signed.settle()
        assert signed.served() == {"iris": "2"}
    assert signed.store.failure("iris") is None


def _unsigned_history(serving: Serving) -> None:
    """Promote versions 1 and 2 as a release without signatures did, then move the alias in MLflow to version 3."""
    for shift in (0.0, 0.25, 0.5):
        number = register(serving.registry, other_files(shift=shift))
        if shift < 0.5:
            promote(serving.registry, "iris", number, by="ana", at=datetime.now(UTC), reason="")
    serving.registry.set_alias("iris", PRODUCTION, "3")


def test_signing_again_approves_nothing_that_was_planted(signed: Signed) -> None:
    planted = register(signed.registry, other_files(shift=0.5), promote=True)
    event = PromotionEvent(
        action="promote", version=planted, from_version="2", by="eve", at=datetime.now(UTC), reason=""
    )
    signed.registry.set_model_tag("iris", key_of(3), event.to_tag())
    new = new_signer()
    sign_model(signed.registry, "iris", new, by="ana", echo=pytest.fail, trusted=signed.trusted)
    signed.trusted = trusting(new)
    signed.restart()
    assert signed.served() == {"iris": "2"}
    assert SIGNATURE_TAG not in signed.registry.get_version("iris", planted).tags
    checked = {
        one.number: one.key is not None for one in checked_events(signed.registry.get_model("iris"), signed.trusted)
    }
    assert checked == {1: True, 2: True, 3: False, 4: True}


def test_rotation_does_not_sign_a_model_whose_events_were_deleted(signed: Signed) -> None:
    _register_unsigned(signed)
    for number in (1, 2):
        signed.registry.delete_model_tag("iris", key_of(number))
    new, notes = new_signer(), list[str]()
    signed.trusted = trusting(signed.signer, new)
    sign_models(signed.registry, new, by="ana", echo=notes.append, trusted=signed.trusted)
    assert "run `slipway signing sign-existing iris`" in notes[0]
    assert SIGNATURE_TAG not in signed.registry.get_version("iris", "3").tags
    signed.restart()
    signed.settle()
    assert signed.served() == {"iris": "2"}
    sign_models(signed.registry, new, by="ana", echo=notes.append, trusted=signed.trusted, names=("iris",))
    signed.sync()
    assert signed.served() == {"iris": "3"}


def test_interrupted_upgrade_is_completed(tmp_path: Path) -> None:
    serving, signer = Serving(tmp_path / "cache"), new_signer()
    _unsigned_history(serving)
    files = serving.registry.get_version("iris", "3").tags[MANIFEST_TAG]
    sign_bundle(serving.registry, serving.registry.get_version("iris", "3"), signer, files)
    assert sign_model(serving.registry, "iris", signer, by="init", echo=pytest.fail, replace=False) == 3
    notes: list[str] = []
    assert sign_model(serving.registry, "iris", new_signer(), by="init", echo=notes.append, replace=False) == 0
    assert "another key signed it" in notes[0]


def test_event_with_a_repeated_key_is_read_as_it_was_signed(signed: Signed) -> None:
    changed = signed.event(1).replace("{", '{"version":"9",', 1)
    signed.registry.set_model_tag("iris", key_of(1), changed)
    first, *_ = checked_events(signed.registry.get_model("iris"), signed.trusted or trusting(signed.signer))
    assert first.event is not None
    assert (first.key is not None, first.event.version) == (True, "1")


def test_upgrade_signs_production_and_rollback_versions_before_keys_are_trusted(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache")
    _unsigned_history(serving)
    serving.sync()
    assert serving.served() == {"iris": "3"}
    signer = new_signer()
    damaged = "2"
    serving.registry.replace_file("iris", damaged, MANIFEST_FILE, b"{}")
    notes: list[str] = []
    assert sign_model(serving.registry, "iris", signer, by="init", echo=notes.append) == 2
    assert [note.partition(":")[0] for note in notes] == ["Version 2 of iris is not signed"]
    serving.sync()  # the old release still serves it
    assert serving.served() == {"iris": "3"}
    serving.trusted = trusting(signer)
    serving.restart()
    assert serving.served() == {"iris": "3"}
    event = rollback(
        serving.registry, "iris", by="ana", at=datetime.now(UTC), reason="", signer=signer, trusted=serving.trusted
    )
    serving.sync()
    assert (event.version, serving.served()) == ("1", {"iris": "1"})


def test_version_of_another_tool_must_be_signed_with_its_files(signed: Signed) -> None:
    signed.allow_unverified = True
    signed.registry.add_version("foreign", {"MLmodel": b"flavors: {}", "model.onnx": b"graph"})
    signed.registry.set_alias("foreign", PRODUCTION, "1")
    signed.restart(("foreign@1",))
    assert "is not signed by a trusted key" in signed.failure("foreign", "1").reason
    sign_model(signed.registry, "foreign", signed.signer, by="ana", echo=pytest.fail)
    signed.sync(force=True)
    assert "flavor" in signed.failure("foreign", "1").reason  # the signature is valid, so the files are parsed
    signed.registry.replace_file("foreign", "1", "model.onnx", b"another graph")
    signed.sync(force=True)
    assert "were changed after it was signed" in signed.failure("foreign", "1").reason


BARE = {"MLmodel": b"flavors: {}", "model.onnx": b"graph"}


def test_alias_of_a_model_that_was_never_signed_is_followed_to_versions_of_other_tools_only(signed: Signed) -> None:
    signed.allow_unverified = True
    signed.registry.add_version("foreign", BARE)
    signed.registry.set_alias("foreign", PRODUCTION, "1")
    signed.restart()
    assert "flavor" in signed.failure("foreign").reason  # the files were parsed

    register(signed.registry, bundle_files("foreign"), "foreign", promote=True)
    signed.settle()
    assert "is not signed by a trusted key" in signed.failure("foreign").reason


@pytest.mark.parametrize("restarts", [False, True])
def test_version_of_another_tool_does_not_replace_a_signed_model(signed: Signed, restarts: bool) -> None:
    signed.allow_unverified = True
    signed.restart()
    signed.registry.add_version("iris", BARE)
    signed.registry.set_alias("iris", PRODUCTION, "3")
    for key in list(signed.registry.get_model("iris").tags):
        signed.registry.delete_model_tag("iris", key)
    if restarts:
        signed.restart()
    signed.settle()

    assert signed.served() == {"iris": "2"}
    assert "no promotion in the history of iris is signed" in signed.failure("iris").reason


def test_unknown_key_replaces_no_signatures_unless_the_model_is_named(signed: Signed) -> None:
    other, notes = new_signer(), list[str]()
    tags = signed.registry.get_model("iris").tags

    sign_models(signed.registry, other, by="ana", echo=notes.append, trusted=trusting(other))

    assert signed.registry.get_model("iris").tags == tags
    assert "no promotion in its history is signed by a trusted key. Add the key" in notes[0]
    sign_models(signed.registry, other, by="ana", echo=notes.append, trusted=trusting(other), names=("iris",))
    assert notes[1].startswith("Signed 2 versions of iris")


@pytest.mark.parametrize("version", ["1", "2"])
def test_version_is_promoted_only_if_the_newest_signed_event_names_it(signed: Signed, version: str) -> None:
    signed.registry.set_alias("iris", PRODUCTION, version)
    found = signed.registry.get_version("iris", version)

    assert is_promoted(signed.registry, found, signer=signed.signer, trusted=signed.trusted) == (version == "2")
    assert is_promoted(signed.registry, found)


def test_signed_event_keeps_fields_of_a_later_release() -> None:
    signer: Signer = new_signer()
    signed = sign_event(signer, "iris", 1, '{"later":[1.5,"ü"]}')
    assert '"later":[1.5,"ü"]' in signed


def test_upgrade_signs_the_events_of_withdrawn_and_deleted_versions_for_the_history_only(tmp_path: Path) -> None:
    serving, signer = Serving(tmp_path / "cache"), new_signer()
    for shift in (0.0, 0.25, 0.5):
        number = register(serving.registry, other_files(shift=shift))
        promote(serving.registry, "iris", number, by="ana", at=datetime.now(UTC), reason="")
    rollback(serving.registry, "iris", by="ana", at=datetime.now(UTC), reason="")
    serving.registry.delete_version("iris", "1")
    assert sign_model(serving.registry, "iris", signer, by="init", echo=pytest.fail) == 1
    events = checked_events(serving.registry.get_model("iris"), trusting(signer))
    assert all(event.key is not None for event in events)
    digests = [(one.event.version, bool(one.event.digest)) for one in events if one.event is not None]
    assert digests == [("1", False), ("2", True), ("3", False), ("2", True), ("2", True)]
