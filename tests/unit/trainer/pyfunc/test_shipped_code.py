"""The code in a model version: what it needs, and how its package is named."""

import ast
import sys
from pathlib import Path

import pytest

from slipway_trainer.pyfunc import shipped_code
from slipway_trainer.pyfunc.flavor import REQUIREMENTS
from slipway_trainer.pyfunc.shipped_code import shipped_files, write_code


def imports(text: str) -> set[str]:
    """Return the top-level packages that a module imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name.partition(".")[0] for name in found}


def test_code_imports_only_itself_and_the_requirements(tmp_path: Path) -> None:
    package, _, entry = write_code(tmp_path).partition(".")
    files = list(tmp_path.rglob("*.py"))

    needed = set[str]().union(*(imports(file.read_text(encoding="utf-8")) for file in files))

    assert (tmp_path / package / f"{entry}.py") in files
    # ONNX Runtime and MLflow require `google.protobuf`.
    assert needed - sys.stdlib_module_names <= {*REQUIREMENTS, package, "google"}


def test_package_is_named_after_its_content(tmp_path: Path) -> None:
    first, again = write_code(tmp_path / "1"), write_code(tmp_path / "2")
    files = shipped_files()
    changed = {**files, "errors.py": files["errors.py"] + "\n"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped_code, "shipped_files", lambda: changed)
        other = write_code(tmp_path / "3")

    assert first == again
    assert first != other
