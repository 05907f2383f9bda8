"""The prediction log of a model of typed columns over a real PostgreSQL."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from slipway_api.prediction_log.queries import PredictionQuery
from slipway_api.prediction_log.repository import SqlPredictionStore
from slipway_api.prediction_log.shipper import REJECTED
from slipway_core.database import connect
from slipway_core.migrations import upgrade
from support.bundles import register
from support.journal import Journal, closing, shipper_of
from support.serving import Serving
from support.typed_models import KINDS, TABLE_NAMES, TABLE_ROWS, TABLE_SIGNATURE, table_files


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    upgrade(postgres_url)
    with closing(connect(postgres_url)) as engine:
        yield engine


def with_value(name: str, value: object) -> list[Any]:
    return [value if column == name else old for column, old in zip(TABLE_NAMES, TABLE_ROWS[0], strict=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_tables_are_stored_and_shown_with_their_types(tmp_path: Path, engine: Engine, kind: str) -> None:
    serving = Serving(tmp_path / "cache")
    register(serving.registry, table_files("iris", KINDS[kind]), promote=True)
    serving.sync()
    journal = Journal(tmp_path / "journal", serving.store.get("iris"), redacted=("seen",))
    batches = [
        [list(row) for row in TABLE_ROWS],
        [with_value("price", 10**30)],
        [with_value("city", 'quotes " and \\ and \u2028 and \U0001f600')],
        [with_value("count", -(2**63))],
    ]
    ids = [journal.add(rows=TABLE_SIGNATURE.rows(rows)) for rows in batches]
    journal.log.close()

    assert shipper_of(journal.folder, engine).ship_once() == len(batches)

    store = SqlPredictionStore(engine)
    page = store.page(PredictionQuery(None, None, None, None, 100, 10_000))
    shown = {one.id: json.loads(one.inputs) for one in page.predictions}
    seen = TABLE_NAMES.index("seen")
    for rows in batches:
        for row in rows:
            row[seen] = {"redacted": True}
    assert [shown[one] for one in ids] == batches
    # `==` takes true for 1 and 3 for 3.0.
    assert [type(value) for value in shown[ids[0]][0]] == [type(value) for value in batches[0][0]]
    assert {one.origin.classes and tuple(one.origin.classes) for one in page.predictions if one.origin} == {
        KINDS[kind].classes
    }
    assert not (journal.folder / REJECTED).exists()
