"""The check of the repository's text for phrases that do not read as plain technical English."""

from pathlib import Path
from types import ModuleType

import pytest

from support.scripts import load_script

ROOT = Path(__file__).parents[2]


@pytest.fixture
def phrases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return the checker, set up to check one file of a temporary folder."""
    module = load_script(".ci/phrases.py")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "ALLOWED", tmp_path / "allowed.txt")
    monkeypatch.setattr(module, "tracked_files", lambda: ["page.md"])
    (tmp_path / "allowed.txt").touch()
    return module


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("The client is told the reason.", "is told"),
        ("They were told, and we are told.", "are told"),
        ("It tells who did it.", "tells who"),
        ("Is told the reason.", "Is told"),
        ("Whoever reads this", "Whoever"),
        ("nobody reads this", "nobody"),
        ("There is no model.", "is no"),
        ("if there is none", "is none"),
        ("What is refused, is counted.", "What is refused"),
        ("the value is held against the limit", "held against"),
        ("a server that is asked often", "is asked"),
        ("# the client is\n    # told the reason", "is # told"),
        ("the client\nis\ntold the reason", "is told"),
        ("def test_an_error_is_told() -> None:", "is told"),
    ],
)
def test_check_finds_phrase(phrases: ModuleType, text: str, phrase: str) -> None:
    found = [match[1] for match in phrases.matches(text)]

    assert found == [phrase]


@pytest.mark.parametrize(
    "text",
    [
        "if value is None or other is not None:",
        "The model is no longer served.",
        "This is a no-op; that is no-op.",
        "return is_none",
        "The API tells the client the reason.",
        "The page says what is new.",
        "this told us",
        "the basis none of them has",
    ],
)
def test_check_ignores_other_text(phrases: ModuleType, text: str) -> None:
    assert list(phrases.matches(text)) == []


@pytest.mark.parametrize(
    ("allowed", "code", "lines"),
    [
        ("", 1, ["page.md:2: nobody: USER nobody", "1 phrases to reword."]),
        ("# The account of Unix.\npage.md: USER nobody\n", 0, []),
        ("other.md: USER nobody\n", 1, ["page.md:2: nobody: USER nobody", "remove the entry: other.md: USER nobody"]),
        ("page.md: USER nobody\npage.md: nobody else\n", 1, ["remove the entry: page.md: nobody else"]),
    ],
    ids=["not allowed", "allowed", "allowed elsewhere", "unused entry"],
)
def test_check_fails_unless_phrase_is_allowed(
    phrases: ModuleType, capsys: pytest.CaptureFixture[str], allowed: str, code: int, lines: list[str]
) -> None:
    (phrases.ROOT / "page.md").write_text("# Page\n  USER nobody\n", encoding="utf-8")
    phrases.ALLOWED.write_text(allowed, encoding="utf-8")

    assert phrases.main() == code
    printed = capsys.readouterr().out
    assert all(line in printed for line in lines)
    assert bool(printed) == bool(code)


def test_lint_checks_phrases() -> None:
    assert "$(BIN)/python .ci/phrases.py\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
