#!/bin/sh
# MLflow takes the database's address from its environment only, and it holds a password: here it may come from a file.
set -eu
if [ -z "${MLFLOW_BACKEND_STORE_URI:-}" ] && [ -n "${MLFLOW_BACKEND_STORE_URI_FILE:-}" ]; then
  MLFLOW_BACKEND_STORE_URI=$(cat "$MLFLOW_BACKEND_STORE_URI_FILE")
  export MLFLOW_BACKEND_STORE_URI
fi
exec "$@"
