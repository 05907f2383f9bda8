"""Grafana's dashboards as code. `make dashboards` writes what is made here to `monitoring/grafana/dashboards`."""
