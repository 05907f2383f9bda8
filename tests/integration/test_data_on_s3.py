"""A recipe's data on a real S3 server, found and read as in a folder."""

from pathlib import Path

import pytest

from slipway_core.errors import StorageNotFoundError
from slipway_core.storage import open_storage
from slipway_trainer.errors import DataUnavailableError
from slipway_trainer.recipes import find_recipe
from slipway_trainer.steps.extract import extract
from support.s3 import S3Server

IRIS = find_recipe("iris")
BUCKET = "datasets"


@pytest.fixture
def bucket(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a bucket with the file of the recipe in the folder `flowers`."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    s3.make_bucket(BUCKET)
    assert IRIS.fetch is not None
    IRIS.fetch(tmp_path)
    open_storage(f"s3://{BUCKET}/flowers").put("iris.csv", tmp_path / "iris.csv")
    return BUCKET


@pytest.mark.parametrize("place", ["flowers", "flowers/", "flowers/iris.csv"])
def test_data_is_read_from_a_folder_or_a_file_of_a_bucket(bucket: str, place: str, tmp_path: Path) -> None:
    local = extract(IRIS, data=None, data_dir=tmp_path, workdir=tmp_path / "local")

    found = extract(IRIS, data=f"s3://{bucket}/{place}", data_dir=tmp_path / "nowhere", workdir=tmp_path / "work")

    assert found.source == f"s3://{bucket}/flowers/iris.csv"
    assert found.version == local.version
    assert len(found.frame) == 150


def test_data_folder_may_be_a_bucket(bucket: str, tmp_path: Path) -> None:
    found = extract(IRIS, data=None, data_dir=f"s3://{bucket}/flowers", workdir=tmp_path / "work")

    assert found.source == f"s3://{bucket}/flowers/iris.csv"


def test_missing_object_in_a_bucket_is_reported(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"^s3://datasets/trees is neither a file nor a folder that"):
        extract(IRIS, data=f"s3://{bucket}/trees", data_dir=tmp_path, workdir=tmp_path / "work")


def test_missing_bucket_is_reported(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(StorageNotFoundError, match="bucket"):
        extract(IRIS, data="s3://no-such-bucket/iris.csv", data_dir=tmp_path, workdir=tmp_path / "work")
