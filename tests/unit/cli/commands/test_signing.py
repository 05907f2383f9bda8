"""`slipway signing` and the keys that other commands use; tests/integration uses a real registry."""

from pathlib import Path

import pytest

from slipway_cli.cli import main
from slipway_cli.embedded.home import Home, Ports
from slipway_cli.embedded.signing import make_keys, sign_registry, trust_keys
from slipway_cli.signing import key_files, signature_notes
from slipway_core.errors import RegistryUnavailableError
from slipway_core.registry.alias_history import moves
from slipway_core.registry.events import key_of
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.settings import SigningSettings
from slipway_core.registry.signatures import checked_events, newest_event, signed_digest
from slipway_core.signing import TrustedKeys
from slipway_core.signing.files import read_signer
from slipway_core.signing.keys import new_private_key
from support.bundles import bundle_files, register
from support.command import run
from support.docker import FakeDocker
from support.signing import new_signer, promote_signed, register_signed, trusting


def test_created_key_is_shown_again_and_never_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.pem"
    created = run(main, "signing", "create", str(path), "--name", "ci")
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY_FILE", str(path))
    shown = run(main, "signing", "show", "--name", "ci")
    assert (created.exit_code, shown.exit_code, created.output) == (0, 0, shown.output)
    (key,) = TrustedKeys.parse(created.output)
    assert (key.name, key.events_only) == ("ci", False)
    private = path.read_text(encoding="utf-8").splitlines()[1]
    assert private not in created.output
    again = run(main, "signing", "create", str(path))
    assert again.exit_code == 1
    assert "already exists" in again.error
    assert path.read_text(encoding="utf-8").splitlines()[1] == private


@pytest.mark.parametrize("name", ["", "two words", "with#comment"])
def test_name_that_would_break_the_line_is_rejected(tmp_path: Path, name: str) -> None:
    assert run(main, "signing", "create", str(tmp_path / "key.pem"), "--name", name).exit_code == 2
    assert not (tmp_path / "key.pem").exists()


def test_signing_without_a_key_names_the_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    for command in (("show",), ("sign", "iris", "1"), ("sign-existing",)):
        ended = run(main, "signing", *command)
        assert ended.exit_code == 1
        assert "SLIPWAY_SIGNING_KEY_FILE is not set" in ended.error


def test_commands_use_the_keys_of_a_running_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    home.make()
    make_keys(home)
    trust_keys(home)
    monkeypatch.setenv("SLIPWAY_HOME", str(home.root))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5123")
    with home.locked(Ports(8123, 5123)):
        with key_files("http://127.0.0.1:5123", SigningSettings()) as files:
            assert (files.signing_key_file, files.trusted_keys) == (home.bundle_key, home.trusted_keys)
        with key_files("http://127.0.0.1:5999", SigningSettings()) as files:
            assert files.signer() is None
        own = tmp_path / "own.pem"
        with key_files("http://127.0.0.1:5123", SigningSettings(signing_key_file=own)) as files:
            assert files.signing_key_file == own


def test_commands_use_the_keys_of_the_compose_stack_for_a_moment(docker: FakeDocker) -> None:
    publisher = {"TargetPort": 5000, "PublishedPort": 5050}
    docker.tell_containers({"Service": "mlflow", "Publishers": [publisher]})
    pem, signer = new_private_key(), new_signer()
    volume = docker.state / "cp" / "run/slipway"
    volume.mkdir(parents=True)
    (volume / "bundle-key").write_text(pem, encoding="utf-8")
    (volume / "trusted-keys").write_text(f"{signer.public_key('trainer')}\n", encoding="utf-8")
    with key_files("http://localhost:5050", SigningSettings()) as files:
        assert files.signing_key_file is not None
        assert files.signing_key_file.parent.stat().st_mode & 0o077 == 0
        assert files.signer() is not None
        assert [key.key_id for key in files.read_trusted_keys() or ()] == [signer.key_id]
    assert not files.signing_key_file.parent.exists()
    for registry in ("http://localhost:5051", "http://mlflow.example.com:5050", ""):
        with key_files(registry, SigningSettings()) as files:
            assert files.signing_key_file is None
    docker.fail("cp", "no such file")  # the stack of an earlier release
    with key_files("http://localhost:5050", SigningSettings()) as files:
        assert (files.signer(), files.read_trusted_keys()) == (None, None)


def test_keys_of_the_stack_are_private_and_stay(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.make()
    make_keys(home)
    trust_keys(home)
    before = [path.read_bytes() for path in (home.bundle_key, home.events_key, home.trusted_keys)]
    make_keys(home)
    trust_keys(home)
    assert [path.read_bytes() for path in (home.bundle_key, home.events_key, home.trusted_keys)] == before
    trusted = {key.key_id: key.events_only for key in TrustedKeys.parse(before[2].decode())}
    ids = [signer.key_id for path in (home.bundle_key, home.events_key) if (signer := read_signer(path))]
    assert trusted == {ids[0]: False, ids[1]: True}


def test_old_folder_trusts_its_keys_only_after_its_registry_is_signed(tmp_path: Path) -> None:
    home, registry = Home(tmp_path / "home"), InMemoryRegistry()
    notes: list[str] = []
    home.make()
    make_keys(home)
    register(registry, bundle_files(), promote=True)
    registry.reachable = False
    with pytest.raises(RegistryUnavailableError):
        sign_registry(home, registry, notes.append)
    assert not home.trusted_keys.exists()
    registry.reachable = True
    sign_registry(home, registry, notes.append)
    trusted = TrustedKeys.parse(home.trusted_keys.read_text(encoding="utf-8"))
    assert signed_digest(registry.get_version("iris", "1"), trusted)
    assert newest_event(checked_events(registry.get_model("iris"), trusted)) is not None
    assert len(notes) == 1


def test_history_marks_events_that_are_not_accepted() -> None:
    registry, signer = InMemoryRegistry(), new_signer()
    for _ in range(2):
        promote_signed(registry, signer, register_signed(registry, signer))
    changed = registry.get_model("iris").tags[key_of(1)].replace('"by":"ana"', '"by":"eve"')
    registry.set_model_tag("iris", key_of(1), changed)
    model = registry.get_model("iris")
    newest, oldest = signature_notes(model, moves(model)[::-1], trusting(signer))
    assert newest == "signed: key-0"
    assert oldest is not None
    assert oldest.startswith("NOT ACCEPTED: its signature with the key key-0")


def test_forged_event_does_not_get_the_mark_of_a_signed_one() -> None:
    registry, signer = InMemoryRegistry(), new_signer()
    for _ in range(2):
        promote_signed(registry, signer, register_signed(registry, signer))
    first, second = (registry.get_model("iris").tags[key_of(number)] for number in (1, 2))
    registry.set_model_tag("iris", key_of(1), first.replace('"by":"ana"', '"by":"eve"'))
    # The last of two values counts. Another parser rejects the first one, and therefore does not show the event.
    registry.set_model_tag("iris", key_of(2), second.replace("{", f'{{"reason":{"[" * 400}{"]" * 400},', 1))
    model = registry.get_model("iris")
    shown = moves(model)[::-1]
    notes = signature_notes(model, shown, trusting(signer))
    assert [(move.event and move.event.by, (note or "")[:12]) for move, note in zip(shown, notes, strict=True)] == [
        (None, ""),
        ("eve", "NOT ACCEPTED"),
    ]
