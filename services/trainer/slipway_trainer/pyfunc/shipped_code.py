"""Copy the loader of `mlflow.pyfunc`, and the modules of the core that it needs, into a model version."""

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

CORE = "slipway_core"
LOADER = "slipway_trainer.pyfunc.loader"
# The loader's name in a copy.
ENTRY = "loader"
# The digits of the code's digest that are part of its package's name.
DIGITS = 12


def write_code(folder: Path) -> str:
    """Write the code as a package into a folder, and return the name of the module to load.

    The package's name has the digest of its content. Therefore one notebook can load versions with different code, and
    the installed Slipway is never mixed with it.
    """
    files = shipped_files()
    content = "".join(f"{name}\n{text}\n" for name, text in files.items())
    package = f"slipway_model_{hashlib.sha256(content.encode()).hexdigest()[:DIGITS]}"
    for name, text in files.items():
        file = folder / package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            re.sub(rf"^( *)from {CORE}\b", rf"\1from {package}", text, flags=re.MULTILINE), encoding="utf-8"
        )
    return f"{package}.{ENTRY}"


@cache
def shipped_files() -> dict[str, str]:
    """Return the source of the loader and of all modules of the core that it imports, by path in the package."""
    found = {f"{ENTRY}.py": _source(LOADER)[1]}
    waiting = [*_imports(found[f"{ENTRY}.py"])]
    while waiting:
        module = waiting.pop()
        origin, text = _source(module)
        parts = module.split(".")[1:]
        is_package = origin.name == "__init__.py"
        name = "/".join([*parts, "__init__.py"]) if is_package else f"{'/'.join(parts)}.py"
        if name not in found:
            found[name] = text
            waiting += _imports(text)
    return dict(sorted(found.items()))


def _source(module: str) -> tuple[Path, str]:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the module {module} has no source file: install Slipway from its source")
    return Path(spec.origin), Path(spec.origin).read_text(encoding="utf-8")


def _imports(text: str) -> Iterator[str]:
    """Yield the modules of the core that a module imports, each with the packages that contain it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == CORE:
            parts = node.module.split(".")
            yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))
