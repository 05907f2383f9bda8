#!/bin/sh
# Runs once, when PostgreSQL's volume is empty. Creates two databases with their own roles, because Slipway and MLflow
# store their migrations under the same name, and a role that may only read statistics.
set -eu

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --set slipway_password="$(cat /run/slipway/slipway-password)" \
  --set mlflow_password="$(cat /run/slipway/mlflow-password)" \
  --set monitor_password="$(cat /run/slipway/monitor-password)" <<'SQL'
CREATE ROLE slipway LOGIN PASSWORD :'slipway_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE ROLE monitor LOGIN PASSWORD :'monitor_password';
GRANT pg_monitor TO monitor;
CREATE DATABASE slipway OWNER slipway;
CREATE DATABASE mlflow OWNER mlflow;
REVOKE CONNECT ON DATABASE slipway, mlflow FROM PUBLIC;
GRANT CONNECT ON DATABASE slipway, mlflow TO monitor;
SQL
