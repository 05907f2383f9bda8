"""The first job of the stack: its errors before anything starts, and its output."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slipway_cli.errors import StackError
from slipway_cli.stack_jobs.__main__ import main
from slipway_cli.stack_jobs.mounts import clone_of, require_own_volume, require_readable
from slipway_cli.stack_jobs.secrets import open_kept
from slipway_core.signing.files import read_trusted_keys
from support.signing import new_signer

NOBODY = 65534


@contextmanager
def another_account() -> Iterator[None]:
    """Run a block as an unprivileged user if the tests run as root, which can read every file."""
    own = os.geteuid()
    if own == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(own)


@pytest.fixture
def project() -> Iterator[Path]:
    """A folder that every account reaches, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        project.chmod(0o755)
        (project / "monitoring").mkdir(mode=0o755)
        (project / "monitoring" / "rules.yml").write_text("groups: []")
        (project / "monitoring" / "rules.yml").chmod(0o644)
        yield project


def test_readable_files_are_accepted(project: Path) -> None:
    with another_account():
        require_readable(project)

    assert (project / "monitoring" / "rules.yml").read_text() == "groups: []"


@pytest.mark.parametrize(("path", "mode"), [("monitoring/rules.yml", 0o200), ("monitoring", 0o300)])
def test_unreadable_file_is_reported_with_the_fix(project: Path, path: str, mode: int) -> None:
    (project / path).chmod(mode)

    try:
        with another_account(), pytest.raises(StackError) as refused:
            require_readable(project)
    finally:
        (project / path).chmod(0o700)

    assert str(refused.value).startswith(f"the containers may not read {path}: ")
    assert "chmod -R o+rX" in str(refused.value)


def test_misspelled_variable_ends_the_job_before_any_write(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLIPWAY_REGISTRAION", "closed")
    monkeypatch.setattr(sys, "argv", ["compose", "secrets", str(project / "secrets"), f"--readable={project}"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "Error: SLIPWAY_REGISTRAION is not a setting of Slipway; did you mean SLIPWAY_REGISTRATION?\n"
    )
    assert not (project / "secrets").exists()


def test_services_to_restart_after_a_changed_secret_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["compose", "secrets", str(tmp_path)])
    main()
    first = capsys.readouterr().out
    monkeypatch.setenv("MINIO_ROOT_PASSWORD", "correct-horse-battery")
    monkeypatch.setenv("GRAFANA_ADMIN_PASSWORD", "changed in Grafana")

    main()
    changed = capsys.readouterr().out
    main()

    assert (first, capsys.readouterr().out) == ("", "")
    assert changed == (
        "Restart required: mlflow uses its old aws-credentials until `docker compose restart mlflow`.\n"
        "Restart required: minio uses its old s3-secret-key until `docker compose restart minio`.\n"
    )


def mountinfo(folder: Path, *mounts: tuple[str, str]) -> Path:
    """Write mounts, each as the folder on the host's file system and the one in the container, as the kernel does."""
    lines = [f"{n} 73 254:0 {source} {target} ro - ext4 /dev/vda rw" for n, (source, target) in enumerate(mounts)]
    file = folder / "mountinfo"
    file.write_text("\n".join(lines))
    return file


@pytest.mark.parametrize(
    ("mount", "clone"),
    [
        (("/home/ada/slipway/monitoring/prometheus", "/project/monitoring/prometheus"), "/home/ada/slipway"),
        (("/ada/my\\040clone/services/x.sh", "/project/services/x.sh"), "/ada/my clone"),
        (("/elsewhere/rules", "/project/monitoring/prometheus"), None),
        (("/var/lib/docker/volumes/secrets/_data", "/secrets"), None),
        (("/srv/project", "/project"), None),
    ],
)
def test_clone_is_read_from_the_mounts(mount: tuple[str, str], clone: str | None, tmp_path: Path) -> None:
    assert clone_of(Path("/project"), mountinfo(tmp_path, ("/", "/"), mount)) == clone


def test_volumes_of_another_clone_are_refused(tmp_path: Path) -> None:
    require_own_volume(tmp_path, "/home/ada/slipway")
    require_own_volume(tmp_path, "/home/ada/slipway")
    require_own_volume(tmp_path, None)

    with pytest.raises(StackError) as refused:
        require_own_volume(tmp_path, "/home/ada/slipway-2")

    assert "belong to the clone in /home/ada/slipway, but this clone is in /home/ada/slipway-2" in str(refused.value)
    assert "COMPOSE_PROJECT_NAME" in str(refused.value)


def test_adopt_gives_the_volumes_to_this_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = open_kept(tmp_path)
    require_own_volume(kept, "/home/ada/slipway")
    monkeypatch.setattr(sys, "argv", ["compose", "adopt", str(tmp_path)])

    main()

    require_own_volume(kept, "/home/ada/moved")


def test_rotated_and_added_keys_reach_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def job(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["stack_jobs", *arguments, f"--folder={tmp_path}"])
        main()

    monkeypatch.setattr(sys, "argv", ["stack_jobs", "secrets", str(tmp_path)])
    main()
    first = (tmp_path / "trainer" / "bundle-key").read_text()
    job("rotate-keys")
    assert (tmp_path / "init" / "bundle-key").read_text() == (tmp_path / "trainer" / "bundle-key").read_text() != first
    job("trust-key", *str(new_signer().public_key("laptop")).split())
    names = ["trainer", "api", "former-trainer", "former-api", "laptop"]
    for service in ("api", "trainer", "init"):
        trusted = read_trusted_keys(tmp_path / service / "trusted-keys")
        assert [key.name for key in trusted or ()] == names
    job("forget-keys")
    assert [key.name for key in read_trusted_keys(tmp_path / "api" / "trusted-keys") or ()] == ["trainer", "api"]
