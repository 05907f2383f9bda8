"""Infrastructure: the machine, PostgreSQL, the probes, and the monitoring itself."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from slipway_dashboards import health
from slipway_dashboards.frame import frame
from slipway_dashboards.panels import GREEN, NONE_IS_GOOD, RED, UP, YELLOW, About, Panel, Query, lines, states, value
from slipway_dashboards.queries import RANGE, WINDOW, increase, or_say, or_zero, rate

FULL = ((None, GREEN), (0.8, YELLOW), (0.9, RED))
# Temporary file systems are in memory, which has its own panels.
DISK = 'fstype!~"tmpfs|ramfs"'
# Traffic of containers to other machines also passes the machine's own devices.
NETWORK = 'device!~"lo|veth.*|br-.*|docker.*"'
DATABASE = 'datname!~"|template.*"'


def dashboard() -> Dashboard:
    """Return the dashboard."""
    return frame(
        "slipway-infrastructure",
        "Slipway / Infrastructure",
        "Does the machine have room, does PostgreSQL keep up, and does the monitoring work?",
        {
            "Machine": _machine(),
            "PostgreSQL": _postgres(),
            "Probes": _probes(),
            "Monitoring": _monitoring(),
        },
    )


def _machine() -> list[Panel]:
    busy = f'1 - avg(rate(node_cpu_seconds_total{{mode="idle"}}[{WINDOW}]))'
    used = "1 - sum(node_memory_MemAvailable_bytes) / sum(node_memory_MemTotal_bytes)"
    fullness = f"1 - node_filesystem_avail_bytes{{{DISK}}} / (node_filesystem_size_bytes{{{DISK}}} > 0)"
    return [
        value(
            About("CPU", "The share of all cores that is busy.", "percentunit", "unknown"),
            Query(busy),
            steps=FULL,
            width=8,
        ),
        value(
            About(
                "Memory",
                "The share of the machine's memory that is in use.",
                "percentunit",
                "unknown",
            ),
            Query(used),
            steps=FULL,
            width=8,
        ),
        value(
            About("Fullest disk", "The share of the fullest disk that is in use.", "percentunit", "unknown"),
            Query(or_say(f"max({fullness})", device="no disk is reported")),
            steps=FULL,
            width=8,
        ),
        lines(
            About(
                "CPU by mode",
                "Cores by activity; iowait: waiting for the disk, steal: used by another virtual machine.",
                "suffix: cores",
                "unknown",
            ),
            Query(f'sum by (mode) (rate(node_cpu_seconds_total{{mode!="idle"}}[{WINDOW}]))', "{{mode}}"),
            is_stacked=True,
        ),
        lines(
            About(
                "Memory over time",
                "The machine's total memory, and the memory available to programs.",
                "bytes",
                "unknown",
            ),
            Query("sum(node_memory_MemTotal_bytes)", "total"),
            Query("sum(node_memory_MemAvailable_bytes)", "available"),
        ),
        lines(
            About("Disks", "The share of each disk that is in use.", "percentunit", "unknown"),
            Query(or_say(f"max by (device) ({fullness})", device="no disk is reported"), "{{device}}"),
            steps=FULL,
            most=1,
            width=8,
        ),
        lines(
            About("Disk traffic", "Bytes read and written per second.", "Bps", "unknown"),
            Query(or_zero(rate("node_disk_read_bytes_total")), "read"),
            Query(or_zero(rate("node_disk_written_bytes_total")), "written"),
            width=8,
        ),
        lines(
            About("Network", "Bytes received and sent per second.", "Bps", "unknown"),
            Query(or_zero(rate("node_network_receive_bytes_total", NETWORK)), "received"),
            Query(or_zero(rate("node_network_transmit_bytes_total", NETWORK)), "sent"),
            width=8,
        ),
    ]


def _postgres() -> list[Panel]:
    hits, reads = (rate(f"pg_stat_database_{kind}", DATABASE, by="datname") for kind in ("blks_hit", "blks_read"))
    connections = "sum(pg_stat_database_numbackends)"
    return [
        health.postgresql(width=4),
        value(
            About(
                "Connections in use",
                "The share of PostgreSQL's allowed connections; if all are in use, logins fail.",
                "percentunit",
                "unknown",
            ),
            Query(or_zero(f"{connections} / max(pg_settings_max_connections)")),
            steps=FULL,
        ),
        lines(
            About("Connections", "Connections by database.", "none", "PostgreSQL is down"),
            Query(
                or_say(f"sum by (datname) (pg_stat_database_numbackends{{{DATABASE}}})", datname="PostgreSQL is down"),
                "{{datname}}",
            ),
            is_stacked=True,
            width=8,
        ),
        lines(
            About(
                "Database sizes",
                "The size of each database on disk; it grows with the predictions until their retention ends.",
                "bytes",
                "PostgreSQL is down",
            ),
            Query(
                or_say(f"max by (datname) (pg_database_size_bytes{{{DATABASE}}})", datname="PostgreSQL is down"),
                "{{datname}}",
            ),
            width=8,
        ),
        lines(
            About(
                "Transactions",
                "Committed and rolled-back transactions per second.",
                "ops",
                "PostgreSQL is down",
            ),
            Query(or_zero(rate("pg_stat_database_xact_commit", DATABASE)), "committed"),
            Query(or_zero(rate("pg_stat_database_xact_rollback", DATABASE)), "rolled back"),
        ),
        lines(
            About(
                "Cache hit ratio",
                "The share of blocks that PostgreSQL found in its memory; below 90 %, PostgreSQL may need more memory.",
                "percentunit",
                "no reads",
            ),
            Query(or_say(f"{hits} / ({hits} + {reads})", datname="PostgreSQL is down"), "{{datname}}"),
            most=1,
        ),
    ]


def _probes() -> list[Panel]:
    return [
        states(
            About("Health pages", "Whether the health pages of MLflow and MinIO respond.", "none", "no probe"),
            Query(or_say('max by (instance) (probe_success{job="probe"})', instance="no probe"), "{{instance}}"),
            steps=UP,
            texts=("down", "up"),
        ),
        lines(
            About(
                "Probe duration",
                "The response time of the health pages; a service that becomes slower is often about to fail.",
                "s",
                "no probe",
            ),
            Query(
                or_say('max by (instance) (probe_duration_seconds{job="probe"})', instance="no probe"), "{{instance}}"
            ),
            steps=((None, GREEN), (1, YELLOW), (5, RED)),
        ),
    ]


def _monitoring() -> list[Panel]:
    failed_rules = increase("prometheus_rule_evaluation_failures_total")
    return [
        states(
            About("Scrapes", "Whether Prometheus can scrape each of its targets.", "none", "no target"),
            Query("min by (job) (up)", "{{job}}"),
            steps=UP,
            texts=("down", "up"),
        ),
        lines(
            About("Scrape duration", "The response time of each target to a scrape.", "s", "no target"),
            Query("max by (job) (scrape_duration_seconds)", "{{job}}"),
            steps=((None, GREEN), (1, YELLOW), (5, RED)),
        ),
        lines(
            About("Series", "The number of series in Prometheus' memory, which grows with them.", "short"),
            Query("max(prometheus_tsdb_head_series)"),
            width=8,
        ),
        lines(
            About("Samples", "Samples ingested by Prometheus per second.", "samples/s"),
            Query(rate("prometheus_tsdb_head_samples_appended_total")),
            width=8,
        ),
        lines(
            About("Memory of the monitoring", "Resident memory of Prometheus, Alertmanager and Grafana.", "bytes"),
            Query('max by (job) (process_resident_memory_bytes{job=~"prometheus|alertmanager|grafana"})', "{{job}}"),
            width=8,
        ),
        lines(
            About(
                "Notifications",
                "Notifications per second that Alertmanager sent or failed to send.",
                "notifications/s",
                "unknown",
            ),
            Query(or_zero(rate("alertmanager_notifications_total")), "sent"),
            Query(or_zero(rate("alertmanager_notifications_failed_total")), "failed"),
            width=8,
        ),
        value(
            About(
                "Failed notifications",
                "Notifications that Alertmanager could not deliver, in the selected time range.",
                "none",
                "unknown",
            ),
            Query(or_zero(increase("alertmanager_notifications_failed_total"))),
            steps=NONE_IS_GOOD,
        ),
        value(
            About(
                "Alerts not sent",
                "Alerts that Prometheus could not send to Alertmanager, in the selected time range.",
                "none",
                "unknown",
            ),
            Query(or_zero(increase("prometheus_notifications_dropped_total"))),
            steps=NONE_IS_GOOD,
        ),
        value(
            About(
                "Failed rules",
                "Rules that Prometheus could not evaluate, in the selected time range.",
                "none",
                "unknown",
            ),
            Query(or_zero(failed_rules)),
            steps=NONE_IS_GOOD,
        ),
        value(
            About("Restarts", "Restarts of monitored processes in the selected time range.", "none", "unknown"),
            Query(
                or_zero(
                    f'sum(changes(process_start_time_seconds{{job=~"api|prometheus|alertmanager|grafana"}}[{RANGE}]))'
                )
            ),
            steps=((None, GREEN), (1, YELLOW)),
        ),
    ]
