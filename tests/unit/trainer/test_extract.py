"""Extract: which file is read, and which version of the data it is."""

from pathlib import Path

import pytest

from slipway_trainer.errors import DataRefusedError
from slipway_trainer.recipes.iris import IRIS
from slipway_trainer.steps.extract import Dataset, extract

HEADER = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm),species\n"
GIVEN = HEADER + "1,1,1,1,setosa\n"
BY_NAME = HEADER + "2,2,2,2,setosa\n"
AT_THE_TOP = HEADER + "3,3,3,3,setosa\n"


def read(data_dir: Path, workdir: Path, data: Path | None = None) -> Dataset:
    workdir.mkdir(exist_ok=True)
    return extract(IRIS, data=data, data_dir=data_dir, workdir=workdir)


def first_value(dataset: Dataset) -> float:
    return float(dataset.frame.iloc[0, 0])


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder that holds the file in both places."""
    folder = tmp_path / "data"
    (folder / "iris").mkdir(parents=True)
    (folder / "iris" / "iris.csv").write_text(BY_NAME)
    (folder / "iris.csv").write_text(AT_THE_TOP)
    return folder


def test_the_file_given_by_hand_wins(data_dir: Path, tmp_path: Path) -> None:
    given = tmp_path / "mine.csv"
    given.write_text(GIVEN)

    dataset = read(data_dir, tmp_path / "work", given)

    assert first_value(dataset) == 1
    assert dataset.source == str(given)


def test_the_folder_of_the_recipe_comes_before_the_top(data_dir: Path, tmp_path: Path) -> None:
    dataset = read(data_dir, tmp_path / "work")

    assert first_value(dataset) == 2
    assert dataset.source == str(data_dir / "iris" / "iris.csv")


def test_the_file_at_the_top_of_the_data_folder_is_found(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "iris" / "iris.csv").unlink()

    dataset = read(data_dir, tmp_path / "work")

    assert first_value(dataset) == 3
    assert dataset.source == str(data_dir / "iris.csv")


def test_the_data_is_fetched_where_no_folder_has_it(tmp_path: Path) -> None:
    dataset = read(tmp_path / "nothing", tmp_path / "work")

    assert len(dataset.frame) == 150
    assert dataset.source == "the recipe's public source"
    assert (tmp_path / "work" / "iris.csv").is_file()


def test_a_given_file_that_is_missing_is_refused_and_nothing_is_fetched(data_dir: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"

    with pytest.raises(DataRefusedError, match=r"missing\.csv is not a file; give the path of a CSV file with --data"):
        read(data_dir, tmp_path / "work", missing)

    assert not list((tmp_path / "work").iterdir())


def test_a_folder_in_place_of_the_given_file_is_refused(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(DataRefusedError, match="is not a file"):
        read(data_dir, tmp_path / "work", data_dir)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'a,b\n"1,2\n', id="a quote that is not closed"),
        pytest.param(b"a\n1\n1,2,3\n", id="more values than names"),
        pytest.param(b"a,b\n\xff\xfe,2\n", id="not UTF-8"),
    ],
)
def test_a_file_that_is_no_csv_is_refused(tmp_path: Path, content: bytes) -> None:
    given = tmp_path / "given.csv"
    given.write_bytes(content)

    with pytest.raises(DataRefusedError, match=r"given\.csv cannot be read as CSV") as caught:
        read(tmp_path, tmp_path / "work", given)

    assert len(caught.value.findings) == 1


@pytest.mark.parametrize("row", ["1,2,3,4,setosa,", "7,1,2,3,4,setosa"])
def test_rows_with_more_values_than_names_are_refused_and_not_shifted(tmp_path: Path, row: str) -> None:
    given = tmp_path / "given.csv"
    given.write_text(HEADER + f"{row}\n" * 2)

    with pytest.raises(DataRefusedError):
        read(tmp_path, tmp_path / "work", given)


def test_the_same_bytes_are_the_same_version_wherever_they_lie(tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text(GIVEN)
    other.write_text(GIVEN)

    assert read(tmp_path, tmp_path / "work", one).version == read(tmp_path, tmp_path / "work", other).version


def test_one_other_byte_is_another_version(tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text(GIVEN)
    other.write_text(GIVEN + "\n")

    assert read(tmp_path, tmp_path / "work", one).version != read(tmp_path, tmp_path / "work", other).version


def test_fetching_twice_gives_the_same_version(tmp_path: Path) -> None:
    first = read(tmp_path / "nothing", tmp_path / "first")
    second = read(tmp_path / "nothing", tmp_path / "second")

    assert first.version == second.version
    assert first.version.startswith("sha256:")
