"""Grafana's dashboards as code. `make dashboards` generates `monitoring/grafana/dashboards` from this package."""
