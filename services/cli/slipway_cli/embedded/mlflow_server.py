"""MLflow's tracking and registry server in one process, for the embedded stack.

`mlflow server` imports all of MLflow, prepares the stores, and then starts a worker that imports everything again: half
of the time until it answers. This does the worker's part alone, with the names that MLflow 3.17.2 (pinned) uses between
the two. The compose stack, which starts once and stays, uses `mlflow server` as it is.
"""

import argparse
import os
from pathlib import Path

from slipway_core.startup import quick_imports

HOST = "127.0.0.1"


def serve(port: int, database: Path, artifacts: Path) -> None:
    """Serve MLflow on loopback until a signal ends it.

    Args:
        port: where it listens.
        database: the SQLite file of runs and models; it is made if it is new.
        artifacts: the folder that files are proxied to.
    """
    uri = f"sqlite:///{database}"
    with quick_imports():
        import uvicorn  # noqa: PLC0415
        from mlflow.server import constants  # noqa: PLC0415
        from mlflow.server.handlers import initialize_backend_stores  # noqa: PLC0415

    root = "mlflow-artifacts:/"
    os.environ.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: uri,
            constants.REGISTRY_STORE_URI_ENV_VAR: uri,
            constants.ARTIFACT_ROOT_ENV_VAR: root,
            constants.ARTIFACTS_DESTINATION_ENV_VAR: str(artifacts),
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        }
    )
    # Before the first request, so that two at once do not both make the tables.
    initialize_backend_stores(uri, uri, root)
    uvicorn.run("mlflow.server.fastapi_app:app", host=HOST, port=port)


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description="MLflow's server in one process.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--artifacts", type=Path, required=True)
    arguments = parser.parse_args()
    serve(arguments.port, arguments.database, arguments.artifacts)


if __name__ == "__main__":
    main()
