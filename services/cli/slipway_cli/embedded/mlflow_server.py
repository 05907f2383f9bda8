"""MLflow's tracking and registry server in one process, for the embedded stack.

`mlflow server` imports all of MLflow, prepares the stores, and then starts a worker that imports everything again: half
of the time until it answers. This does the worker's part alone, with the names that MLflow 3.17.2 (pinned) uses between
the two. The compose stack, which starts once and stays, uses `mlflow server` as it is.

The stores come from the environment, as `mlflow server` takes them: a database's URL holds a password, and everyone on
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
    """Serve MLflow on loopback until a signal ends it.

    Args:
        port: where it listens.
        backend_store_uri: the database of runs and models; its tables are made if it is empty.
        artifacts_destination: the folder or bucket that files are proxied to.

    Raises:
        StackError: a store cannot be used.
    """
    verify_database(backend_store_uri, lambda said: print(printable(said), file=sys.stderr))
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
        # Before the first request, so that two at once do not both make the tables.
        initialize_backend_stores(backend_store_uri, backend_store_uri, root)
    except (CommandError, MlflowException, SQLAlchemyError) as error:
        traceback.print_exc()  # into the log; the sentence is for the person
        raise StackError(
            "its database cannot be used: check that the account may make tables in it, and bring what another "
            "release of MLflow has made up to date with `mlflow db upgrade`"
        ) from error
    uvicorn.run("mlflow.server.fastapi_app:app", host=HOST, port=port)


def main() -> None:
    """Read the arguments and serve; an error of ours is one sentence on standard error and exit code 1."""
    parser = argparse.ArgumentParser(
        description="MLflow's server in one process, on MLFLOW_BACKEND_STORE_URI and MLFLOW_ARTIFACTS_DESTINATION."
    )
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    with exit_on_error():
        serve(arguments.port, os.environ["MLFLOW_BACKEND_STORE_URI"], os.environ["MLFLOW_ARTIFACTS_DESTINATION"])


if __name__ == "__main__":
    main()
