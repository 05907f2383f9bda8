"""Extract: which file is read, whether it is complete, and the version of its data."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from slipway_core.errors import StorageError
from slipway_trainer.errors import DataRefusedError, DataUnavailableError
from slipway_trainer.recipes import Recipe
from slipway_trainer.recipes.iris import RECIPE as IRIS
from slipway_trainer.schema import check_schema
from slipway_trainer.step_results import Dataset
from slipway_trainer.steps.extract import extract
from support.bike import BIKE, bike_frame
from support.iris import iris_dataset

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


def test_given_file_wins_over_the_data_folder(data_dir: Path, tmp_path: Path) -> None:
    given = tmp_path / "mine.csv"
    given.write_text(GIVEN)

    dataset = read(data_dir, tmp_path / "work", given)

    assert (first_value(dataset), dataset.source) == (1, str(given))


@pytest.mark.parametrize("is_given", [False, True], ids=["data folder", "given folder"])
def test_recipes_path_comes_before_the_folder_of_the_model(data_dir: Path, tmp_path: Path, is_given: bool) -> None:
    folders = (tmp_path / "nothing", tmp_path / "work", data_dir) if is_given else (data_dir, tmp_path / "work")

    first = read(*folders)
    (data_dir / "iris.csv").unlink()
    second = read(*folders)

    assert (first_value(first), first.source) == (3, str(data_dir / "iris.csv"))
    assert (first_value(second), second.source) == (2, str(data_dir / "iris" / "iris.csv"))


def test_data_missing_in_every_folder_is_fetched(tmp_path: Path) -> None:
    dataset = read(tmp_path / "nothing", tmp_path / "work")

    assert len(dataset.frame) == 150
    assert dataset.source == "the recipe's public source"
    assert (tmp_path / "work" / "iris.csv").is_file()


def test_missing_given_file_is_reported_and_nothing_fetched(data_dir: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"

    with pytest.raises(
        DataUnavailableError, match=r"missing\.csv is neither a file nor .*; pass the path of a CSV file with --data"
    ):
        read(data_dir, tmp_path / "work", missing)

    assert not list((tmp_path / "work").iterdir())


def test_nested_path_of_a_recipe_comes_first(tmp_path: Path) -> None:
    for place in ("bike-sharing", "bike-demand", "."):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / "hour.csv").write_text("hr,cnt\n1,2\n")

    dataset = extract(BIKE, data=None, data_dir=tmp_path, workdir=tmp_path)

    assert dataset.source == str(tmp_path / "bike-sharing" / "hour.csv")


def test_given_folder_without_the_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"is neither a file nor a folder that contains iris\.csv; pass"):
        read(tmp_path / "nothing", tmp_path / "work", tmp_path)


def test_file_without_read_permission_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tmp_path / "given.csv"
    given.write_text(GIVEN)

    def refuse(_path: Path, *_mode: object) -> None:  # a fake, since root, as in CI, may read every file
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(StorageError, match=r"given\.csv cannot be read or written: Permission denied"):
        read(tmp_path, tmp_path / "work", given)


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        pytest.param(b"", "is empty; provide a CSV file whose first line names the columns", id="empty"),
        pytest.param(b"\xef\xbb\xbf \r\n\n", "is empty; provide a CSV file", id="blank lines alone"),
        pytest.param(b'a,b\n"1,2\n', "is truncated", id="a quote that is not closed"),
        pytest.param(b"a,b\n1,2\n\xff\xfe,2\n", "is not UTF-8: line 3 contains the byte 0xff", id="not UTF-8"),
        pytest.param("a,b\n1,°C\n".encode("latin-1"), "is not UTF-8: line 2 contains the byte 0xb0", id="Latin-1"),
        pytest.param(b"a\n1\n1,2,3\n", "line 3 of ", id="more values than names"),
        pytest.param(
            b"a,b\n1,5,2,5\n", "has 4 values, but the first line has 2 names; check that ", id="decimal commas"
        ),
        pytest.param(b"\na,b\n1,2\n", "is empty; remove the empty lines before the header", id="an empty first line"),
        pytest.param(b'a,b\n1,2\n3,"4\n5,6\n', "a double quote in line 3 of ", id="a quote that is never closed"),
        pytest.param(b"PK\x03\x04\x00\x00", "is a ZIP archive; extract the CSV file", id="a ZIP file"),
        pytest.param(b"PK\x03\x04\x00xl/workbook.xml\x00", "is an Excel file; open it and save it as CSV", id="xlsx"),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1", "is an Excel file; open it and save it as CSV", id="xls"),
        pytest.param(gzip.compress(b"a,b\n1,2\n"), "is compressed with gzip; decompress it first", id="gzip"),
        pytest.param(bz2.compress(b"a,b\n1,2\n"), "is compressed with bzip2; decompress it first", id="bzip2"),
        pytest.param(lzma.compress(b"a,b\n1,2\n"), "is compressed with xz; decompress it first", id="xz"),
        pytest.param(b"PAR1\x15\x04", "is a Parquet file; read it with pandas and save it as CSV", id="Parquet"),
        pytest.param("a,b\n1,2\n".encode("utf-16"), "is UTF-16 text; save it as CSV in UTF-8", id="UTF-16"),
        pytest.param(
            "a,b\n1,2\n".encode("utf-16-be"), "is not a text file in UTF-8: line 1 contains a zero", id="UTF-16, no BOM"
        ),
        pytest.param(b"<html><p>Not found</p></html>", "is HTML or XML, not CSV", id="HTML"),
        pytest.param(b'[{"a": 1}]', "is JSON, not CSV", id="JSON"),
        pytest.param(b"a;b\n1;2\n", "are separated by semicolons; write commas", id="semicolons"),
        pytest.param(b"a;b\n1,5;2\n", "are separated by semicolons; write commas", id="semicolons and decimal commas"),
        pytest.param(
            b"sepal length (cm);note, free;species\n1;2;3\n", "are separated by semicolons", id="a comma in a name"
        ),
        pytest.param(b"a\tb\n1\t2\n", "are separated by tabs; write commas", id="tabs"),
        pytest.param(b"species,species\nx,y\n", "has the column 'species' twice", id="a column twice"),
        pytest.param(b"a,b,c\n1,2,3\n4,5\n", "its last line, 3, has 2 values, but the first line has 3", id="cut off"),
        pytest.param(b"a,b,c\r\n1,2,3\r\n4,5\r\n", "its last line, 3, has 2 values", id="cut off, CRLF"),
    ],
)
def test_unreadable_csv_is_rejected(tmp_path: Path, content: bytes, finding: str) -> None:
    given = tmp_path / "given.csv"
    given.write_bytes(content)

    with pytest.raises(DataRefusedError) as caught:
        read(tmp_path, tmp_path / "work", given)

    (sentence,) = caught.value.findings
    assert str(given) in sentence
    assert finding in sentence
    assert len(sentence) < 400
    assert "\n" not in sentence


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n\n"])
def test_complete_file_is_read_with_any_line_ending(tmp_path: Path, end: str) -> None:
    given = tmp_path / "given.csv"
    given.write_bytes((GIVEN.rstrip() + end).encode())

    dataset = read(tmp_path, tmp_path / "work", given)

    assert dataset.frame.to_numpy().tolist() == [[1, 1, 1, 1, "setosa"]]


def test_quoted_commas_are_part_of_a_value(tmp_path: Path) -> None:
    given = tmp_path / "given.csv"
    given.write_text('a,b\n1,"x, y"\n2,"z"\n')

    dataset = read(tmp_path, tmp_path / "work", given)

    assert dataset.frame["b"].tolist() == ["x, y", "z"]


CSV = {
    IRIS.name: iris_dataset().frame.to_csv(index=False).encode(),
    BIKE.name: bike_frame().to_csv(index=False).encode(),
}


@pytest.mark.parametrize("recipe", [IRIS, BIKE], ids=["iris", "bike-demand"])
def test_file_cut_anywhere_is_rejected_or_has_whole_rows(tmp_path: Path, recipe: Recipe) -> None:
    content = CSV[recipe.name]
    given = tmp_path / "given.csv"
    whole = pd.read_csv(io.BytesIO(content))
    # Places of the header and between the rows, and every place of the last row.
    cuts = [*range(0, 300, 9), *range(300, len(content) - 60, 1993), *range(len(content) - 60, len(content))]

    for cut in cuts:
        given.write_bytes(content[:cut])
        try:
            dataset = extract(recipe, data=given, data_dir=tmp_path, workdir=tmp_path)
            frame, findings = check_schema(recipe, dataset.frame)
        except DataRefusedError:
            continue
        if not findings:
            names = [*recipe.feature_names, recipe.target.name]
            assert (
                frame[names].astype(str).equals(whole[names].head(len(frame)).astype(frame[names].dtypes).astype(str))
            )


@pytest.mark.parametrize("row", ["1,2,3,4,setosa,", "7,1,2,3,4,setosa"])
def test_rows_with_too_many_values_are_rejected(tmp_path: Path, row: str) -> None:
    given = tmp_path / "given.csv"
    given.write_text(HEADER + f"{row}\n" * 2)

    with pytest.raises(DataRefusedError):
        read(tmp_path, tmp_path / "work", given)


@pytest.mark.parametrize(("ending", "is_same"), [("", True), ("\n", False)])
def test_version_depends_on_the_bytes_of_the_file(tmp_path: Path, ending: str, is_same: bool) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text(GIVEN)
    other.write_text(GIVEN + ending)

    versions = [read(tmp_path, tmp_path / "work", path).version for path in (one, other)]

    assert (versions[0] == versions[1]) is is_same


def test_fetching_twice_gives_the_same_version(tmp_path: Path) -> None:
    first, second = (read(tmp_path / "nothing", tmp_path / folder).version for folder in ("first", "second"))

    assert first == second
    assert first.startswith("sha256:")


def unreachable(_folder: Path) -> None:
    raise DataUnavailableError("the data could not be downloaded from https://example.org")


def broken(_folder: Path) -> None:
    raise RuntimeError("no route")


def test_missing_data_without_a_download_names_the_place_to_fill(tmp_path: Path) -> None:
    recipe = IRIS.model_copy(update={"fetch": None})

    with pytest.raises(DataUnavailableError) as caught:
        extract(recipe, data=None, data_dir="data", workdir=tmp_path)

    assert str(caught.value) == (
        "iris.csv, the data of the recipe iris, does not exist: put the file at data/iris/iris.csv, or pass its "
        "path with --data"
    )


@pytest.mark.parametrize("fetch", [unreachable, broken])
@pytest.mark.parametrize(
    ("data_dir", "place"),
    [
        ("/data", "put the file at /data/iris/iris.csv (the folder data/ of the repository is mounted as /data), or"),
        ("data", "put the file at data/iris/iris.csv, or"),
        ("/srv/sets/", "put the file at /srv/sets/iris/iris.csv, or"),
    ],
)
def test_failed_fetch_names_the_folder_to_fill(
    fetch: Callable[[Path], None], data_dir: str, place: str, tmp_path: Path
) -> None:
    recipe = IRIS.model_copy(update={"fetch": fetch})

    with pytest.raises(DataUnavailableError) as failed:
        extract(recipe, data=None, data_dir=data_dir, workdir=tmp_path)

    assert f"; {place} pass its path with --data" in str(failed.value)


def test_missing_file_in_a_container_names_the_mount(tmp_path: Path) -> None:
    with pytest.raises(
        DataUnavailableError, match=r"hour\.csv is neither a file.*data/ of the repository is mounted as /data"
    ):
        extract(IRIS, data="hour.csv", data_dir="/data", workdir=tmp_path)
