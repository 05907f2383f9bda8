"""Prometheus' configuration: every alert is explained, tested, and built on series that there are."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.metrics import api_registry
from support.quick_monitoring import write_quick_monitoring

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring/prometheus"
RULE_FILES = sorted((MONITORING / "rules").glob("*.yml"))
TEST_FILES = sorted((MONITORING / "tests").glob("*.yml"))
RUNBOOK = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8").split("\n## Runbook\n")[1]

# Words for people that have a plainer form, and sentences whose subject is a clause.
UNCLEAR = re.compile(
    r"\b(?:nobody|somebody|whoever|tells?|told|is away|is over|asked|served on|goes? on|holds?|is no|is none)\b"
    r"|(?:^|[.;] )(?:What|Who|Whoever) "
)
SEVERITIES = {"critical", "warning", "info", "none"}
# Metrics of exporters, of Prometheus and Alertmanager themselves, and of every scrape target.
FOREIGN = re.compile(r"(node|pg|probe|prometheus|alertmanager)_[a-z0-9_A-Z]+|up|ALERTS")
# Parts of an expression that could be mistaken for a series: label lists, selectors, ranges and strings.
WORDS = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)|\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"")


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for file in RULE_FILES
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


ALERTS = [rule for rule in rules() if "alert" in rule]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    return subprocess.run([program, *arguments], check=False, capture_output=True, text=True, timeout=120)


def identifier(alert: dict[str, Any]) -> str:
    return f"{alert['alert']}-{alert['labels']['severity']}"


def test_prometheus_takes_its_configuration() -> None:
    checked = promtool("check", "config", MONITORING / "prometheus.yml")

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_takes_the_quick_configuration_of_tests(tmp_path: Path) -> None:
    checked = promtool("check", "config", write_quick_monitoring(tmp_path))

    assert checked.returncode == 0, checked.stdout + checked.stderr


# Those of the burn rates evaluate days: ten seconds each.
@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, id=file.stem, marks=[pytest.mark.slow] if file.stem in {"api", "tickets"} else [])
        for file in TEST_FILES
    ],
)
def test_alert_rules_pass_their_promtool_tests(file: Path) -> None:
    tested = promtool("test", "rules", file)

    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=identifier)
def test_every_alert_has_severity_summary_and_runbook(alert: dict[str, Any]) -> None:
    sections = {heading.lower() for heading in re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)}
    page, _, section = alert["annotations"]["runbook"].partition("#")

    assert alert["labels"]["severity"] in SEVERITIES
    assert alert["labels"].keys() == {"severity", "component"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    assert alert["annotations"]["summary"].rstrip("}")[-1] in ".}"
    assert (page, section) == ("docs/monitoring.md", alert["alert"].lower())
    assert section in sections


@pytest.mark.parametrize("alert", ALERTS, ids=identifier)
def test_alert_text_is_short_and_plain(alert: dict[str, Any]) -> None:
    for text in (alert["annotations"]["summary"], alert["annotations"]["description"]):
        shown = re.sub(r"\{\{.*?\}\}", "X", text)
        assert not UNCLEAR.search(shown), shown
        for sentence in re.split(r"(?<=[.?]) ", shown):
            assert len(sentence.split()) <= 25, sentence
            assert sentence[0].isupper() or sentence.startswith("/"), sentence


@pytest.mark.parametrize("alert", ALERTS, ids=identifier)
def test_every_alert_fires_in_a_test(alert: dict[str, Any]) -> None:
    fired = {
        (tested["alertname"], expected["exp_labels"]["severity"])
        for file in TEST_FILES
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
        for tested in test.get("alert_rule_test", ())
        for expected in tested["exp_alerts"]
    }

    assert (alert["alert"], alert["labels"]["severity"]) in fired


def test_every_section_about_an_alert_is_of_one_that_there_is() -> None:
    sections = re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)

    assert sorted(sections) == sorted({alert["alert"] for alert in ALERTS})


@pytest.mark.parametrize(
    "section", re.split(r"^### ", RUNBOOK, flags=re.MULTILINE)[1:], ids=lambda text: text.split()[0]
)
def test_runbook_says_what_it_means_how_to_check_and_fix(section: str) -> None:
    parts = re.split(r"^\*\*(Meaning\.|Check|Fix)\*\*", section, flags=re.MULTILINE)

    assert parts[1::2] == ["Meaning.", "Check", "Fix"]
    meaning, *procedures = parts[2::2]
    assert meaning.strip()
    for procedure in procedures:
        numbers = [int(number) for number in re.findall(r"^(\d+)\. ", procedure, re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert numbers


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_series_of_a_rule_is_one_that_there_is(rule: dict[str, Any]) -> None:
    metrics = {
        name
        for family in api_registry().collect()
        for name in (family.name, *(f"{family.name}{suffix}" for suffix in ("_total", "_bucket", "_count", "_sum")))
    }
    recorded = {one["record"] for one in rules() if "record" in one}

    bare = WORDS.sub(" ", rule["expr"])
    # A name with a colon or an underscore that no parenthesis follows is a series; so is `up`.
    named = set(re.findall(r"\b(up|[a-z]+(?:[_:][a-zA-Z0-9_:]+)+)\b(?!\s*\()", bare))

    unknown = {name for name in named if name not in metrics | recorded and not FOREIGN.fullmatch(name)}
    assert unknown == set()
    assert named or "vector(" in rule["expr"]


def test_every_target_that_is_scraped_is_missed_when_it_is_gone() -> None:
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    [expression] = [alert["expr"] for alert in ALERTS if alert["alert"] == "TargetDown"]

    missed = set(re.findall(r'absent\(up\{job="(\w+)"', expression))

    assert missed | {"api"} == {job["job_name"] for job in configuration["scrape_configs"]}
