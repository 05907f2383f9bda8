#!/bin/sh
# MLflow reads the database's address only from the environment. It contains a password, so read it from a file if set.
set -eu
if [ -z "${MLFLOW_BACKEND_STORE_URI:-}" ] && [ -n "${MLFLOW_BACKEND_STORE_URI_FILE:-}" ]; then
  MLFLOW_BACKEND_STORE_URI=$(cat "$MLFLOW_BACKEND_STORE_URI_FILE")
  export MLFLOW_BACKEND_STORE_URI
fi
exec "$@"
