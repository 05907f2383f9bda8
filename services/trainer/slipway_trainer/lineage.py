"""The lineage of a model: the commit and the libraries of its training."""

import subprocess
import sys
from importlib.metadata import version

from slipway_trainer.settings import TrainerSettings

# Recorded instead of a commit, to show why the lineage has none.
UNKNOWN_COMMIT = "unknown (no checkout)"
LIBRARIES = ("numpy", "onnx", "onnxruntime", "scikit-learn", "skl2onnx")
OPTIONAL_LIBRARIES = ("lightgbm", "xgboost")


def commit_of_code(settings: TrainerSettings) -> str:
    """Return the configured commit, otherwise that of the working directory, otherwise UNKNOWN_COMMIT."""
    return settings.git_commit or git_commit() or UNKNOWN_COMMIT


def git_commit() -> str | None:
    """Return the commit of the working directory, with `-dirty` if files were changed; None outside a checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries for training and export; of optional ones only if they are in use."""
    optional = {name: str(sys.modules[name].__version__) for name in OPTIONAL_LIBRARIES if name in sys.modules}
    return {name: version(name) for name in LIBRARIES} | optional
