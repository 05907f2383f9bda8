"""Trials of versions in a child process: one that exceeds a limit is killed, and the parent is not affected."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from slipway_api.serving import opening
from slipway_api.serving.bundle_cache import LastServed
from slipway_api.serving.trial import Candidate, ChildTrial, TrialError
from slipway_core.bundle import MANIFEST_FILE, MLMODEL_FILE, digest
from slipway_core.errors import BundleError
from slipway_core.manifest import MODEL_FILE
from support import hostile
from support.bundles import bundle_files, linear_classifier
from support.waiting import wait_for

MIB = 1024 * 1024
FOREVER = "import time\nwhile True: time.sleep(1)"


def candidate(folder: Path, files: dict[str, bytes]) -> Candidate:
    for file, content in files.items():
        (folder / file).write_bytes(content)
    manifest = digest(files.get(MANIFEST_FILE, b""))
    known = LastServed(name="iris", version="1", manifest_sha256=manifest, run_id="", description="")
    return Candidate(folder, known, foreign=MANIFEST_FILE not in files)


def child_running(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch, seconds: float = 20.0) -> ChildTrial:
    """Return a trial whose child runs some code, with the file descriptor of the response as FD."""
    header = "import os, sys\nFD = int(sys.argv[1])\n"
    (folder / "bad_child.py").write_text(header + code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return ChildTrial(module="bad_child", seconds=seconds)


def test_valid_bundle_passes(tmp_path: Path) -> None:
    ChildTrial()(candidate(tmp_path, bundle_files()))


def test_bundle_that_cannot_be_opened_fails_with_its_reason(tmp_path: Path) -> None:
    files = bundle_files()
    files[MODEL_FILE] += b" "

    with pytest.raises(BundleError, match=r"^model\.onnx has the digest") as caught:
        ChildTrial()(candidate(tmp_path, files))

    assert not isinstance(caught.value, TrialError)


@pytest.mark.parametrize(
    "graph",
    [
        hostile.expanding,
        pytest.param(hostile.filling, marks=pytest.mark.slow),
        pytest.param(hostile.tiling, marks=pytest.mark.slow),
        pytest.param(hostile.ranging, marks=pytest.mark.slow),
        pytest.param(lambda: hostile.expanding(2**40), marks=pytest.mark.slow),
    ],
    ids=["Expand", "ConstantOfShape", "Tile", "Range", "4 TiB"],
)
def test_graph_over_the_memory_limit_fails(tmp_path: Path, graph: Callable[[], bytes]) -> None:
    with pytest.raises(TrialError, match=r"needs more than 1024 MiB of memory|ended the process"):
        ChildTrial()(candidate(tmp_path, hostile.hostile_files(graph())))


@pytest.mark.slow
def test_deeply_nested_graph_fails(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"not a valid ONNX model|ended the process"):
        ChildTrial()(candidate(tmp_path, hostile.hostile_files(hostile.nested(2_000))))


@pytest.mark.slow
def test_graph_within_the_memory_limit_passes(tmp_path: Path) -> None:
    ChildTrial()(candidate(tmp_path, hostile.hostile_files(hostile.expanding(2**27))))


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"seconds": 2.0}, "did not finish its golden rows within 2 s"),
        pytest.param({"cpu_seconds": 2}, "took more than 2 s of processor time", marks=pytest.mark.slow),
    ],
)
def test_endless_graph_is_killed(tmp_path: Path, limits: dict[str, float], reason: str) -> None:
    with pytest.raises(TrialError, match=reason):
        ChildTrial(**limits)(candidate(tmp_path, hostile.hostile_files(hostile.endless_loop())))  # type: ignore[arg-type]


@pytest.mark.slow
def test_endless_graph_of_another_tool_is_killed(tmp_path: Path) -> None:
    mlmodel = (
        b"flavors: {onnx: {data: model.onnx}}\n"
        b'signature: {inputs: \'[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]\'}\n'
    )
    good = {MLMODEL_FILE: mlmodel, MODEL_FILE: linear_classifier()}
    ChildTrial()(candidate(tmp_path, good))

    with pytest.raises(TrialError, match="did not finish"):
        ChildTrial(seconds=3.0)(candidate(tmp_path, {**good, MODEL_FILE: hostile.endless_loop()}))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("os.abort()", "SIGABRT"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "more memory than the machine has"),
        ("sys.exit(3)", "exit code 3"),
        ("os.write(FD, b'no JSON')", "invalid result"),
        ("os.write(FD, b'[' * 10_000)", "invalid result"),
        ("os.write(FD, b'null')", "invalid result"),
        ("while True: os.write(FD, b'x' * 4096)", "too long"),
        ("os.close(FD)", "exit code 0"),
    ],
)
def test_misbehaving_child_process_fails_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    trial = child_running(code, tmp_path, monkeypatch)

    with pytest.raises(TrialError, match=reason):
        trial(candidate(tmp_path, bundle_files()))


def test_graph_output_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """for _ in range(1000): sys.stdout.write('x' * 4096); sys.stderr.write('x' * 4096)
os.write(FD, b'{"reason": null, "overran": false}')"""

    child_running(code, tmp_path, monkeypatch)(candidate(tmp_path, bundle_files()))


@pytest.mark.slow
def test_killed_child_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "pids"
    code = f"""import subprocess
other = subprocess.Popen([sys.executable, '-c', {FOREVER!r}])
open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{other.pid}}')
{FOREVER}"""
    trial = child_running(code, tmp_path, monkeypatch, seconds=3.0)

    with pytest.raises(TrialError, match="did not finish"):
        trial(candidate(tmp_path, bundle_files()))

    for pid in note.read_text(encoding="utf-8").split():
        wait_for(partial(has_ended, int(pid)), what=f"the end of {pid}")


def test_child_process_receives_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET_KEY", "DATABASE_URL", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a secret")
    code = """import json
names = [name for name, value in os.environ.items() if value == 'a secret']
os.write(FD, json.dumps({'reason': f'secrets: {names}', 'overran': False}).encode())"""

    with pytest.raises(BundleError, match=r"^secrets: \[\]$"):
        child_running(code, tmp_path, monkeypatch)(candidate(tmp_path, bundle_files()))


def test_version_fails_if_no_process_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))

    with pytest.raises(TrialError, match="no child process can be started"):
        ChildTrial()(candidate(tmp_path, bundle_files()))


def test_trials_leave_no_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = child_running("sys.exit(1)", tmp_path, monkeypatch)
    before = len(list(Path("/dev/fd").iterdir()))

    for _ in range(3):
        with pytest.raises(TrialError):
            trial(candidate(tmp_path, bundle_files()))

    assert len(list(Path("/dev/fd").iterdir())) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it ends with its parent on Linux only")
def test_child_process_ends_with_its_parent(tmp_path: Path) -> None:
    candidate(tmp_path, hostile.hostile_files(hostile.endless_loop()))
    manifest = digest((tmp_path / MANIFEST_FILE).read_bytes())
    code = f"""
from functools import partial
from pathlib import Path
from slipway_api.serving.bundle_cache import LastServed
from slipway_api.serving.trial import Candidate, ChildTrial
known = LastServed(name="iris", version="1", manifest_sha256={manifest!r}, run_id="", description="")
ChildTrial()(Candidate(Path({str(tmp_path)!r}), known))
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        [child] = wait_for(lambda: children.read_text(encoding="ascii").split(), what="the child")
        # By then, it has lowered its priority and runs the graph.
        wait_for(lambda: os.getpriority(os.PRIO_PROCESS, int(child)) > 0, what="the trial")
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
        wait_for(lambda: has_ended(int(child)), what="the end of the child")
    finally:
        parent.kill()
        parent.wait(10)


@pytest.mark.slow
def test_parent_process_does_not_grow_with_a_large_graph(tmp_path: Path) -> None:
    resident: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            resident.append(int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096)
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with contextlib.suppress(TrialError):
        ChildTrial()(candidate(tmp_path, hostile.hostile_files(hostile.expanding())))
    done.set()
    watcher.join()

    assert max(resident) - resident[0] < 50 * MIB


def has_ended(pid: int) -> bool:
    """Return whether a process has ended, even if it was not awaited."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return sys.platform == "linux"


def test_runs_of_a_load_end_at_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LOAD_SECONDS", 0.3)
    one = candidate(tmp_path, hostile.hostile_files(hostile.endless_loop()))

    with pytest.raises(BundleError, match="did not finish its golden rows and first runs within"):
        opening.open_bundle(one.folder, one.known, "registry")
