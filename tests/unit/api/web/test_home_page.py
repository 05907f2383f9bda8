"""`/`: a page with links for browsers, JSON for programs."""

import re
from html.parser import HTMLParser

import httpx
import pytest

from slipway_api.accounts.models import Role
from slipway_api.web.home_page import LINKS, home_page
from support.api import RunningApi

FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


class Page(HTMLParser):
    """Collect every tag and attribute of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    @property
    def links(self) -> list[str]:
        return [value for name, value in self.attributes if name == "href"]


def get(api: RunningApi, accept: str | None) -> httpx.Response:
    # httpx sends `*/*` by default.
    return api.get("/", headers={"Accept": accept if accept is not None else ""})


@pytest.mark.parametrize("accept", [FIREFOX, CHROME, "text/html", "TEXT/HTML;q=0.9, application/json;q=0.5"])
def test_browsers_get_a_page(api: RunningApi, accept: str) -> None:
    answer = get(api, accept)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert Page(answer.text).links == [path for path, *_ in LINKS]


@pytest.mark.parametrize(
    "accept",
    [None, "*/*", "application/json", "application/json, text/html;q=0.9", "text/html;q=0", "text/html;q=0.1, */*"],
)
def test_programs_get_json(api: RunningApi, accept: str | None) -> None:
    answer = get(api, accept)

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Vary"] == "Accept"
    assert list(answer.json()) == ["service", "version", "docs", "openapi", "ready"]


def test_page_loads_and_runs_nothing() -> None:
    page = Page(home_page("1.2.3"))

    assert {"script", "style", "link", "img", "iframe", "form", "base"}.isdisjoint(page.tags)
    names = {name for name, _ in page.attributes}
    assert not {name for name in names if name == "style" or name.startswith("on")}
    assert all(re.match(r"/(?!/)", link) for link in page.links)


@pytest.mark.parametrize("path", [path for path, *_ in LINKS])
def test_links_resolve(api: RunningApi, path: str) -> None:
    assert api.get(path, role=Role.VIEWER).status_code == 200


def test_links_follow_the_path_of_a_proxy() -> None:
    assert Page(home_page("1", '/slip"way')).links[0] == '/slip"way/docs'
