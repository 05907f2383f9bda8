"""The shared memory of all graphs: a run beyond its limit fails, and memory returns to the system afterwards."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slipway_core.arena import MAX_ARENA_BYTES, arena_bytes, releasing_options
from slipway_core.errors import BundleError
from slipway_core.graph import Graph
from support.bundles import NAMES
from support.slow_models import sized_classifier

SMALL = np.array([[5.1, 3.5, 1.4, 1.0]], dtype=np.float32)


def row(elements: int) -> np.ndarray:
    return np.array([[5.1, 3.5, 1.4, elements]], dtype=np.float32)


@pytest.mark.parametrize("bytes_asked", [2 * MAX_ARENA_BYTES, 2**60], ids=["twice the limit", "an exabyte"])
def test_run_beyond_the_limit_fails_and_the_next_works(bytes_asked: int) -> None:
    graph = Graph(sized_classifier(), NAMES)

    with pytest.raises(BundleError, match=r"needs more memory than is free in the [0-9]+ MiB"):
        graph.run(row(bytes_asked // 4))

    assert graph.run(SMALL).prediction.tolist() == [0]


@pytest.mark.parametrize(
    ("limits", "size"),
    [
        (["max", None], None),
        ([None, None], None),
        ([str(2**30), None], 2**29),
        ([None, str(2**29)], 2**28),
        ([str(2**60), "9223372036854771712"], None),
        (["", "not a number"], None),
    ],
)
def test_arena_has_half_of_the_memory_of_a_container(
    tmp_path: Path, limits: list[str | None], size: int | None
) -> None:
    paths = tuple(tmp_path / str(index) for index in range(len(limits)))
    for path, limit in zip(paths, limits, strict=True):
        if limit is not None:
            path.write_text(limit)

    assert arena_bytes(paths) == (arena_bytes(()) if size is None else size)


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_run_with_releasing_options_keeps_no_memory() -> None:
    graph = Graph(sized_classifier(), NAMES)
    graph.run(SMALL, releasing_options())
    before = _resident()

    graph.run(row(25_000_000), releasing_options())

    assert _resident() - before < 20_000_000


@pytest.mark.slow
def test_the_limit_holds_for_all_graphs_together() -> None:
    code = """
import numpy as np
from slipway_core.graph import Graph
from support.bundles import NAMES
from support.slow_models import sized_classifier
graphs = [Graph(sized_classifier(), NAMES) for _ in range(4)]
for graph in graphs:
    graph.run(np.array([[5.1, 3.5, 1.4, 50_000_000]], dtype=np.float32))
with open("/proc/self/statm") as file:
    print(int(file.read().split()[1]) * 4096)
"""
    support = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env={"PYTHONPATH": support}, check=True)

    assert int(done.stdout) < 500_000_000  # an arena for each graph would keep 800 MB


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
