"""The commit that the image of the trainer records: the build reads .git without the git program."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.scripts import load_script

ROOT = Path(__file__).parents[2]
COPIED = ("HEAD", "packed-refs", "refs/heads")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit_of(folder: Path) -> str:
    return str(load_script("services/commit_of.py").commit_of(folder))


def on_a_branch(_checkout: Path) -> None:
    pass


def on_a_branch_with_a_slash(checkout: Path) -> None:
    git(checkout, "switch", "--quiet", "-c", "feature/commit")


def packed(checkout: Path) -> None:
    git(checkout, "tag", "-a", "v1", "-m", "Version 1")
    git(checkout, "pack-refs", "--all")


def committed_after_packing(checkout: Path) -> None:
    git(checkout, "pack-refs", "--all")
    git(checkout, "commit", "--quiet", "--allow-empty", "-m", "Second")


def detached(checkout: Path) -> None:
    git(checkout, "checkout", "--quiet", "--detach")


@pytest.mark.parametrize("state", [on_a_branch, on_a_branch_with_a_slash, packed, committed_after_packing, detached])
def test_build_finds_the_commit(state: Callable[[Path], None], tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "First")
    state(tmp_path)

    assert commit_of(tmp_path / ".git") == git(tmp_path, "rev-parse", "HEAD")


def test_build_without_a_checkout_finds_no_commit(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /elsewhere")
    unborn = tmp_path / "unborn"
    unborn.mkdir()
    git(unborn, "init", "--quiet")

    assert commit_of(tmp_path) == ""
    assert commit_of(unborn / ".git") == ""


def test_build_context_has_only_the_git_files_of_the_commit() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    assert {line for line in lines if ".git" in line} == {f"!.git/{path}" for path in COPIED}
