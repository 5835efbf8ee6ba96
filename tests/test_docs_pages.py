"""The docs pages in a real browser: themed, working, and without a request to anywhere else."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

BRAND = "rgb(11, 122, 117)"


@dataclass
class Visit:
    """A page, and what it asked for and complained about."""

    page: Page
    origins: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def visit(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """The page and colour scheme that a test is parametrized with, once it has settled."""
    path, scheme = request.param
    page = browser.new_page(color_scheme=scheme)
    visit = Visit(page)
    page.on("request", lambda sent: visit.origins.add(_origin(sent.url)))
    page.on(
        "console",
        lambda said: (
            visit.complaints.append(said.text) if said.type in {"error", "warning"} else None
        ),
    )
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.goto(f"{address}/{path}", wait_until="networkidle")
    page.get_by_text("/health/live").first.wait_for()
    yield visit
    page.close()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in {"http", "https"} else parts.scheme


EVERY_PAGE = [(path, scheme) for path in ("docs", "redoc") for scheme in ("light", "dark")]


@pytest.mark.parametrize("visit", EVERY_PAGE, indirect=True)
def test_page_asks_only_its_own_origin_and_breaks_no_policy(visit: Visit, address: str) -> None:
    assert visit.origins - {"data", "blob"} == {address}
    assert visit.complaints == []


@pytest.mark.parametrize("visit", EVERY_PAGE, indirect=True)
def test_page_shows_the_brand_colour_in_both_schemes(visit: Visit) -> None:
    border = visit.page.locator("header.bar").evaluate(
        "bar => getComputedStyle(bar).borderBottomColor"
    )
    background = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert border == BRAND
    dark = visit.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert background == ("rgb(20, 25, 27)" if dark else "rgb(255, 255, 255)")


@pytest.mark.parametrize("visit", [("docs", "light")], indirect=True)
def test_swagger_ui_sends_a_request(visit: Visit) -> None:
    visit.page.get_by_text("/health/live").first.click()
    visit.page.get_by_role("button", name="Execute").click()

    answer = visit.page.locator(".live-responses-table tbody .response-col_status").first
    answer.wait_for()
    assert answer.inner_text().startswith("200")
    assert visit.complaints == []


@pytest.mark.parametrize("visit", [("redoc", "light")], indirect=True)
def test_redoc_searches(visit: Visit) -> None:
    visit.page.get_by_role("textbox").first.fill("process answer")

    visit.page.locator("[data-role='search:results'] li").first.wait_for()
    assert visit.complaints == []
