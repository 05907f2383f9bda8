"""Quick imports: hidden modules and the garbage collector are restored afterwards."""

import gc
import importlib
import sys
from collections.abc import Iterator

import pytest

from slipway_core.startup import quick_imports

# Modules of the standard library that no code here needs.
UNUSED = "this"
LOADED = "json"


@pytest.fixture(autouse=True)
def _collector_as_before() -> Iterator[None]:
    sys.modules.pop(UNUSED, None)
    yield
    gc.unfreeze()
    gc.enable()


def test_a_hidden_module_cannot_be_imported_inside_the_block() -> None:
    with quick_imports(UNUSED), pytest.raises(ModuleNotFoundError):
        importlib.import_module(UNUSED)


def test_a_hidden_module_can_be_imported_after_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    with quick_imports(UNUSED):
        pass

    importlib.import_module(UNUSED)

    assert "Zen" in capsys.readouterr().out


def test_loaded_module_is_kept() -> None:
    before = sys.modules[LOADED]

    with quick_imports(LOADED):
        assert importlib.import_module(LOADED) is before

    assert sys.modules[LOADED] is before


def test_collector_is_paused_inside_the_block() -> None:
    with quick_imports():
        assert not gc.isenabled()

    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_failed_import_restores_everything() -> None:
    with pytest.raises(RuntimeError), quick_imports(UNUSED):
        raise RuntimeError

    assert gc.isenabled()
    assert UNUSED not in sys.modules
