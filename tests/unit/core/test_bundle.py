"""The bundle: what is accepted, and what is refused with which words."""

from pathlib import Path

import pytest

from slipway_core.bundle import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, data_version, digest, read_bundle
from slipway_core.errors import BundleError
from support.bundles import bundle_files


def write(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return digest(files[MANIFEST_FILE])


def test_a_whole_bundle_is_read(tmp_path: Path) -> None:
    expected = write(tmp_path, bundle_files())

    bundle = read_bundle(tmp_path, expected)

    assert bundle.manifest.name == "iris"
    assert bundle.manifest_sha256 == expected


@pytest.mark.parametrize("name", [MODEL_FILE, GOLDEN_FILE])
def test_a_changed_file_is_refused_by_its_digest(tmp_path: Path, name: str) -> None:
    expected = write(tmp_path, bundle_files())
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b" ")

    with pytest.raises(BundleError, match=rf"{name} has the digest sha256:.*the manifest says"):
        read_bundle(tmp_path, expected)


def test_the_data_version_depends_on_neither_order_nor_prefix() -> None:
    one, two = digest(b"one"), digest(b"two")

    assert data_version({"a.csv": one, "b.csv": two}) == data_version({"b.csv": two, "a.csv": one})
    assert data_version({"a.csv": one}) != data_version({"b.csv": one})
