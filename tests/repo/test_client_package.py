"""The Python client as a package of its own: its wheel works with httpx as the only dependency."""

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

import slipway_core

CLIENT = Path(__file__).parents[2] / "services/client"
PROGRAM = """
import sys
import httpx
from slipway_client import AsyncClient, Client

answer = {"id": "1", "model": "iris", "version": "7", "prediction": [0]}
with Client("http://slipway", transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer))) as client:
    print(client.predict([5.1, 3.5, 1.4, 0.2]).version)
print(sorted({"pandas", "numpy", "pydantic", "slipway_core"} & sys.modules.keys()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=CLIENT, check=True, capture_output=True, timeout=60)
    return next(folder.glob("*.whl"))


def names_of(requirements: list[str]) -> set[str]:
    """Return the names of requirements that are not part of an extra."""
    return {re.split(r"[ ;<>=!~\[(]", line)[0] for line in requirements if "extra ==" not in line}


def distributions_of(name: str) -> set[str]:
    """Return the names of a distribution and of all that it requires on this machine."""
    found: set[str] = set()
    waiting = {name}
    while waiting:
        one = waiting.pop()
        try:
            required = metadata.requires(one) or []
        except metadata.PackageNotFoundError:  # required on other platforms only
            continue
        found.add(one)
        waiting |= names_of(required) - found
    return found


def test_wheel_contains_the_typed_package_and_requires_httpx(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (described,) = [archive.read(name).decode() for name in names if name.endswith("/METADATA")]

    fields = Parser().parsestr(described)
    assert (fields["Name"], fields["Version"]) == ("slipway-client", slipway_core.__version__)
    assert names_of(fields.get_all("Requires-Dist", [])) == {"httpx"}
    assert "slipway_client/py.typed" in names
    assert {name.split("/")[0] for name in names if not name.startswith("slipway_client-")} == {"slipway_client"}


def test_wheel_works_with_httpx_alone(wheel: Path, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in distributions_of("httpx"):
        for top in {file.parts[0] for file in metadata.files(name) or [] if file.parts[0] != ".."}:
            source = Path(str(metadata.distribution(name).locate_file(top)))
            (packages / top).symlink_to(source)
    program = f"import sys; sys.path[:0] = {[str(wheel), str(packages)]!r}\n{PROGRAM}"

    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False, timeout=60
    )

    assert (ended.stdout, ended.stderr) == ("7\n[]\n", "")
