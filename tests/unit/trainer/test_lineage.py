"""Lineage: the commit that a model was trained from, and the libraries that made it."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from slipway_core.settings import load_settings
from slipway_trainer.lineage import OPTIONAL_LIBRARIES, UNKNOWN_COMMIT, commit_of_code, git_commit, library_versions
from slipway_trainer.settings import TrainerSettings


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    answer = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return answer.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, outside any checkout."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def checkout(folder: Path) -> Path:
    """The working directory, a checkout with one commit."""
    git(folder, "init", "--quiet")
    (folder / "recipe.py").write_text("first")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "First")
    return folder


def test_commit_of_the_checkout_has_the_full_hash(checkout: Path) -> None:
    assert git_commit() == git(checkout, "rev-parse", "HEAD")


def test_a_folder_below_the_checkout_has_its_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "below").mkdir()
    monkeypatch.chdir(checkout / "below")

    assert git_commit() == git(checkout, "rev-parse", "HEAD")


def test_changed_files_mark_the_commit_as_dirty(checkout: Path) -> None:
    (checkout / "recipe.py").write_text("second")

    assert git_commit() == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_a_tag_does_not_take_the_place_of_the_commit(checkout: Path) -> None:
    git(checkout, "tag", "-a", "v1", "-m", "Version 1")

    assert git_commit() == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("has_repository", [False, True])
def test_folder_without_commits_has_no_commit(folder: Path, has_repository: bool) -> None:
    if has_repository:
        git(folder, "init", "--quiet")

    assert git_commit() is None


def test_machine_without_git_has_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))

    assert git_commit() is None


def test_libraries_are_recorded_with_their_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OPTIONAL_LIBRARIES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    versions = library_versions()

    assert versions["scikit-learn"] == version("scikit-learn")
    assert set(versions) == {"numpy", "onnx", "onnxruntime", "scikit-learn", "skl2onnx"}


def test_optional_library_is_recorded_if_it_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", SimpleNamespace(__version__="9.8"))

    assert library_versions()["xgboost"] == "9.8"


@pytest.mark.parametrize(
    ("given", "expected"), [({}, UNKNOWN_COMMIT), ({"SLIPWAY_GIT_COMMIT": "4f2a"}, "4f2a"), ({"FILE": "9c1b"}, "9c1b")]
)
def test_training_records_the_commit_or_that_it_is_unknown(
    given: dict[str, str], expected: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    for name, value in given.items():
        if name == "FILE":
            (folder / "commit").write_text(f"{value}\n")
            monkeypatch.setenv("SLIPWAY_GIT_COMMIT_FILE", str(folder / "commit"))
        else:
            monkeypatch.setenv(name, value)

    assert commit_of_code(load_settings(TrainerSettings)) == expected
