"""MLflow's tracking and registry server in one process, for the embedded stack.

`mlflow server` imports all of MLflow, prepares the stores, and starts a worker that imports everything again, which
takes half of the start time. This module does only the worker's part, with internal names of MLflow 3.17.2 (pinned).
The compose stack starts rarely and uses `mlflow server` unchanged.

As with `mlflow server`, the stores come from the environment: a database URL contains a password, and every account of
the machine can read a command line.
"""

import argparse
import os
import sys
import traceback

from slipway_cli.embedded.store_checks import verify_artifact_store, verify_database
from slipway_cli.errors import StackError
from slipway_core.printable import printable
from slipway_core.program import exit_on_error
from slipway_core.startup import quick_imports

HOST = "127.0.0.1"


def serve(port: int, backend_store_uri: str, artifacts_destination: str) -> None:
    """Serve MLflow on the loopback address until a signal stops it.

    Args:
        port: the port to listen on.
        backend_store_uri: the database of runs and models; the tables are created if it is empty.
        artifacts_destination: the folder or bucket of the proxied artifacts.

    Raises:
        StackError: a store cannot be used.
    """
    verify_database(backend_store_uri, lambda message: print(printable(message), file=sys.stderr))
    verify_artifact_store(artifacts_destination)
    with quick_imports():
        import uvicorn  # noqa: PLC0415
        from alembic.util import CommandError  # noqa: PLC0415
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
        from mlflow.server import constants  # noqa: PLC0415
        from mlflow.server.handlers import initialize_backend_stores  # noqa: PLC0415
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    root = "mlflow-artifacts:/"
    os.environ.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: backend_store_uri,
            constants.REGISTRY_STORE_URI_ENV_VAR: backend_store_uri,
            constants.ARTIFACT_ROOT_ENV_VAR: root,
            constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts_destination,
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        }
    )
    try:
        # Before the first request, so that two concurrent requests do not both create the tables.
        initialize_backend_stores(backend_store_uri, backend_store_uri, root)
    except (CommandError, MlflowException, SQLAlchemyError) as error:
        traceback.print_exc()  # for the log; users see the sentence below
        raise StackError(
            "its database cannot be used: check that the account may create tables in it; if another release of MLflow "
            "created the tables, run `mlflow db upgrade`"
        ) from error
    uvicorn.run("mlflow.server.fastapi_app:app", host=HOST, port=port)


def main() -> None:
    """Parse the arguments and serve. Print a Slipway error as one sentence on standard error and exit with 1."""
    parser = argparse.ArgumentParser(
        description="MLflow's server in one process, on MLFLOW_BACKEND_STORE_URI and MLFLOW_ARTIFACTS_DESTINATION."
    )
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    with exit_on_error():
        serve(arguments.port, os.environ["MLFLOW_BACKEND_STORE_URI"], os.environ["MLFLOW_ARTIFACTS_DESTINATION"])


if __name__ == "__main__":
    main()
