"""README and docs match the repository."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import slipway_core
from slipway_cli.addresses import MLFLOW_RUNS
from slipway_cli.cli import app
from slipway_core.manifest import manifest_json_schema
from support.compose import services
from support.metrics import api_families

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
MONITORING = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
# Pages for operators, which follow the style of plain technical English.
OPERATOR_PAGES = [
    ROOT / "docs" / f"{name}.md"
    for name in (
        "README",
        "api-keys",
        "backup",
        "deploying",
        "monitoring",
        "security",
        "settings",
        "troubleshooting",
        "upgrading",
    )
]
# Pages for authors of recipes in the same style, whose requests have bodies of several lines.
PLAIN_PAGES = [
    *OPERATOR_PAGES,
    *(
        ROOT / f"docs/{name}.md"
        for name in ("bring-your-own-model", "migrating-from-mlflow", "python-client", "your-data")
    ),
]
# Phrases that have a plainer form.
UNCLEAR = re.compile(
    r"\b(?:(?:is|are|was|were) told|tells? (?:it|them|what|who|how)|whoever|nobody|somebody|is none|held against"
    r"|(?:is|are|was) asked|is no (?!longer)\w+|is away|served on|comes to"
    r"|what is (?:refused|there|gone|known|kept|served|not))\b",
    re.IGNORECASE,
)
MAX_WORDS = 25


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_target_of_every_relative_link_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_link_to_a_section_finds_its_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    targets = [(page.parent / path if path else page, section) for path, section in links if "://" not in path]

    broken = [f"{target.name}#{section}" for target, section in targets if section not in sections_of(target)]

    assert broken == []


def sections_of(page: Path) -> set[str]:
    """Return the anchors of a page, made from its headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a page's paragraphs, list items and table cells; a link counts as its text."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", without_code(text))
    plain = re.sub(r"`[^`]*`", "X", plain)
    blocks = [
        re.sub(r"^(?:-|\d+\.) ", "", " ".join(cell.split()))
        for block in re.split(r"\n\s*\n|\n(?=\s*(?:-|\d+\.|\|) )", plain)
        for cell in (block.split("|") if block.lstrip().startswith("|") else [block])
    ]
    return [sentence for block in blocks for sentence in re.split(r"(?<=[.?:;]) ", block) if sentence]


def test_docs_index_links_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}

    assert pages <= set(re.findall(r"\]\(([^)]+)\)", index))


@pytest.mark.parametrize("page", PLAIN_PAGES, ids=lambda page: page.stem)
def test_page_has_short_plain_sentences(page: Path) -> None:
    sentences = sentences_of(page.read_text(encoding="utf-8"))

    assert len(sentences) > 10
    assert [sentence for sentence in sentences if UNCLEAR.search(sentence)] == []
    assert [sentence for sentence in sentences if len(sentence.split()) > MAX_WORDS] == []


@pytest.mark.parametrize("page", OPERATOR_PAGES, ids=lambda page: page.stem)
def test_operator_page_has_one_command_per_block(page: Path) -> None:
    """A reader copies a block whole; only lines that set variables may stand together."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    # A command that a backslash continues is one.
    commands = [re.sub(r"\\\n\s*", "", block).strip().splitlines() for block in blocks]
    setting = re.compile(r"\s*(?:export |set -a|[A-Z_]+=)")

    assert [lines for lines in commands if len(lines) > 1 and not all(map(setting.match, lines))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_task_that_is_named_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    tasks = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    named = set(re.findall(r"\bmake ([a-z-]+)\b(?=`|\s+#|\n)", page.read_text(encoding="utf-8")))

    assert named <= tasks


def test_every_slipway_command_of_the_readme_is_understood() -> None:
    commands = set(re.findall(r"^ *slipway ([a-z]+(?: (?:list|show|promote|add))?)\b", README, re.MULTILINE))
    assert len(commands) >= 8

    unknown = [command for command in commands if CliRunner().invoke(app, [*command.split(), "--help"]).exit_code != 0]

    assert unknown == []


def test_every_option_of_the_readme_exists() -> None:
    for line in re.findall(r"^ *slipway (.+?)(?:\s+#.*)?$", README, re.MULTILINE):
        words = line.split(" &&")[0].split()
        command = [word for word in words if re.fullmatch(r"[a-z]+", word)]
        shown = (
            CliRunner()
            .invoke(app, [*command[: 2 if command[0] in {"keys", "models", "users"} else 1], "--help"])
            .output
        )
        for option in re.findall(r"--[a-z-]+", line):
            assert option in shown, f"{line}: {option}"


def test_every_metric_is_documented_and_no_other() -> None:
    metrics = {f"{family.name}{'_total' if family.type == 'counter' else ''}" for family in api_families()}

    assert set(re.findall(r"`(slipway_[a-z_]+)`", MONITORING)) == metrics


def test_every_log_event_of_the_api_is_documented() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "services/api").rglob("*.py"))
    logged = set(re.findall(r"\b(?:log\.\w+|tell)\(\s*\"([a-z_]+)\"", source))
    assert "model_loaded" in logged
    # Events that only a bug can cause; operators can only report them.
    logged -= {"registry_watch_failed", "accounts_watch_failed", "unmapped_error"}

    assert [event for event in sorted(logged) if f"`{event}`" not in MONITORING] == []


def test_published_schema_of_the_manifest_is_current() -> None:
    published = (ROOT / "docs/manifest.schema.json").read_text(encoding="utf-8")

    assert published == manifest_json_schema()


def test_the_version_is_in_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert re.search(rf"^## {re.escape(slipway_core.__version__)}\b", changelog, re.MULTILINE)


def test_every_recipe_constraint_is_exact() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()

    loose = [line for line in lines if line and not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", line)]

    assert loose == []


def test_every_direct_dependency_is_constrained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {normal(re.split(r"[\[<>=;~! ]", requirement)[0]) for requirement in wanted}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constrained = {normal(line.split("==")[0]) for line in lines if "==" in line}

    assert names - constrained == set()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_only_the_ci_script_names_the_parent_folder() -> None:
    needle = "../" + "shared"

    naming = {str(path.relative_to(ROOT)) for path in tracked_files() if needle in path.read_text(errors="ignore")}

    assert naming <= {".ci/run"}


def test_nothing_large_or_secret_is_tracked() -> None:
    files = tracked_files()
    state = re.compile(r"(^|/)(mlruns|__pycache__)/|\.(db|sqlite3?|onnx|parquet|pem)$|(^|/)\.env$")

    assert [path for path in files if path.stat().st_size > 500_000 or state.search(str(path.relative_to(ROOT)))] == []


def test_no_source_file_exceeds_300_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "services").rglob("*.py")
    }

    assert {name: lines for name, lines in lengths.items() if lines > 300} == {}


def test_readme_names_every_package_that_tests_need() -> None:
    gate = (ROOT / ".ci/run").read_text(encoding="utf-8")
    named = re.search(r"for server in prometheus prometheus-\{([a-z,-]+)\}", gate)
    assert named is not None
    packages = ["postgresql", "prometheus", *(f"prometheus-{name}" for name in named[1].split(","))]

    assert [package for package in packages if not re.search(rf"\b{package}(?![\w-])", README)] == []


def test_readme_links_the_runs_page_of_mlflow() -> None:
    links = re.findall(r"<(http://[a-z0-9.]+:5000[^>]*)>", README)
    pages = Path(str(importlib.util.find_spec("mlflow").submodule_search_locations[0])) / "server/js/build/static/js"  # type: ignore[union-attr, index]
    main = next(pages.glob("main.*.js")).read_text(encoding="utf-8")

    assert len(links) >= 3
    assert [link for link in links if "?workflowType=machine_learning" not in link] == []
    assert "?workflowType=machine_learning" in MLFLOW_RUNS
    # The parameter that MLflow's page reads.
    assert '.get("workflowType")' in main
    assert '"machine_learning"' in main


def test_readme_states_the_memory_limit_of_the_stack() -> None:
    sizes = {"m": 1, "g": 1024}
    limits = [
        int(service["mem_limit"][:-1]) * sizes[service["mem_limit"][-1]]
        for name, service in services().items()
        if "mem_limit" in service and "healthcheck" in service and name != "caddy"
    ]

    assert f"| {sum(limits) / 1024:g} GB |" in README
