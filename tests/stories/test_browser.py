"""The story as a person lives it: a real browser, mouse and keyboard, against the whole bot. Live, without reloading."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from sandbox.__main__ import Demo
from sandbox.world import World
from tests.sandbox.test_page import ARGUMENTS, CHROMIUM

PATIENCE_MS = 15_000
WEDNESDAY = 2

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Everything that `make demo` starts, on a Wednesday at noon: a week later the digest of this week is there."""
    world = World(is_strict=False)
    now = world.clock()
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=(WEDNESDAY - now.weekday()) % 7)
    world.clock.advance(((noon if noon > now else noon + timedelta(weeks=1)) - now).total_seconds())
    one = Demo(world, f"sqlite:///{tmp_path / 'story.db'}")
    one.start()
    yield one
    one.stop()


def opened(browser: Browser, demo: Demo, width: int = 1440, height: int = 900) -> tuple[Page, list[str]]:
    """The page, live, and whatever goes wrong in it."""
    context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB", timezone_id="Etc/UTC")
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.set_default_timeout(PATIENCE_MS)
    page.goto(demo.world.origin)
    expect(page.get_by_test_id("link")).to_have_attribute("data-link", "live")
    page.evaluate("window.isStillHere = true")
    return page, wrong


def close(page: Page, wrong: list[str]) -> None:
    """The end of a story: nothing went wrong in the page, and it was never loaded again."""
    assert page.evaluate("window.isStillHere")
    page.context.close()
    assert wrong == []


@pytest.fixture
def page(browser: Browser, demo: Demo) -> Iterator[Page]:
    one, wrong = opened(browser, demo)
    yield one
    close(one, wrong)


def card(page: Page) -> Locator:
    return page.get_by_test_id("message").filter(has_text="Pinned by Firstfive")


def said(page: Page, words: str | re.Pattern[str]) -> Locator:
    return page.get_by_test_id("message").filter(has_text=words)


def fires_and_goes_there(page: Page) -> None:
    page.get_by_test_id("welcome-fire").click()
    page.get_by_test_id("notice").filter(has_text="inc-1").get_by_role("button", name="Go there").click()
    expect(page.get_by_test_id("channel-title")).to_have_text(re.compile("inc-1-checkout-5xx"))
    expect(card(page)).to_contain_text("Paged through PagerDuty")


def types(page: Page, line: str) -> None:
    page.get_by_test_id("composer").click()
    page.keyboard.type(line)
    page.keyboard.press("Enter")


def test_from_the_alert_to_the_monday_after(page: Page) -> None:
    fires_and_goes_there(page)

    # The page and its clock.
    phone = page.get_by_test_id("phone-ana")
    expect(phone).to_have_attribute("data-ringing", "yes")
    expect(phone).to_contain_text(re.compile(r"push · level 1 · \d\d:\d\d:\d\d"))
    expect(card(page)).to_contain_text("notified: @Ana Silva")
    expect(card(page)).to_contain_text(re.compile(r"Not acknowledged · \d+ s of 5 min"))
    expect(page.get_by_test_id("bookmark").filter(has_text="PagerDuty")).to_be_visible()
    page.get_by_test_id("clock-plus-1m").click()
    expect(card(page)).to_contain_text(re.compile(r"Not acknowledged · 1 min \d+ s of 5 min"))
    expect(phone).to_contain_text("phone call · level 1")

    # On the phone; seen in Slack.
    phone.get_by_role("button", name="Acknowledge").click()
    expect(card(page)).to_contain_text(re.compile(r"Acknowledged by @Ana Silva in PagerDuty after 1 min \d+ s · target met"))
    expect(phone).to_have_attribute("data-ringing", "no")
    expect(phone).to_contain_text("Acknowledged by Ana")

    # A line on the timeline, typed.
    types(page, "/incident note p95 follows the release of 14:02")
    expect(page.locator('[data-ephemeral="yes"]')).to_contain_text("Noted on the timeline of INC-1")
    expect(said(page, "📝 @Ana Silva: p95 follows the release of 14:02")).to_be_visible()

    # A form, by keyboard alone.
    card(page).get_by_role("button", name="Update").focus()
    page.keyboard.press("Enter")
    form = page.get_by_test_id("modal")
    expect(form.locator("textarea")).to_be_focused()
    page.keyboard.type("Rolling back the release")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_test_id("modal-submit")).to_be_focused()
    page.keyboard.press("Enter")
    expect(form).to_have_count(0)
    expect(said(page, "💬 Update on INC-1 by @Ana Silva").last).to_contain_text("Rolling back the release")

    # It is over.
    page.get_by_test_id("sample-alertmanager-checkout-errors-resolved").click()
    expect(said(page, "Every alert of INC-1 has cleared")).to_be_visible()
    card(page).get_by_role("button", name="Resolve", exact=True).click()
    form.locator("textarea").fill("Rolled back")
    page.get_by_test_id("modal-submit").click()
    expect(said(page, "🏁 @Ana Silva resolved INC-1")).to_contain_text("Rolled back")
    expect(page.get_by_test_id("pagerduty-incident")).to_have_attribute("data-status", "resolved")

    # The draft tells what was seen and done.
    page.get_by_test_id("file-read").click()
    reader = page.get_by_test_id("reader")
    expect(reader.locator("h2")).to_have_text("INC-1: Checkout 5xx at 7 % on web")
    for words in ("p95 follows the release of 14:02", "Rolling back the release", "Rolled back", "Ana Silva"):
        expect(reader).to_contain_text(words)
    page.keyboard.press("Escape")
    expect(reader).to_have_count(0)

    # On Monday the digest counts it.
    page.get_by_test_id("clock-plus-1w").click()
    page.get_by_test_id("channel-incidents").click()
    digest = said(page, re.compile(r"Incident week \d+"))
    expect(digest).to_contain_text("1 incident (1 SEV1). 1 of 1 page acknowledged in 5 min.")
    expect(digest.locator("tr").filter(has_text="acknowledged under 5 min")).to_contain_text("100 %")
    expect(digest.locator(".byline time")).to_have_text("09:00")
    steps = page.locator('[data-testid^="guide-"][data-done="yes"]')
    expect(steps).to_have_count(6)


def test_what_would_come_of_an_alert_is_kept_true_while_one_looks_at_it(page: Page, demo: Demo) -> None:
    page.get_by_test_id("explain-alertmanager-checkout-errors").click()
    verdict = page.get_by_test_id("verdict")
    expect(verdict).to_contain_text("Opens an incident")
    expect(verdict).to_contain_text("route “checkout is losing orders” takes it")
    expect(page.get_by_test_id("fact-would-page")).to_have_text("the on-call by the key checkout")
    demo.fire("alertmanager", "checkout-errors")
    expect(verdict).to_contain_text(re.compile("Joins an incident.*the same alert is in INC-1: fires again"))
    expect(page.get_by_test_id("fact-would-page")).to_have_text("nobody: the page of INC-1 is asked for already")

    page.get_by_test_id("explained-fire").click()
    expect(page.get_by_test_id("explained")).to_have_attribute("data-sent", "yes")
    page.get_by_test_id("explain-resolved").click()
    expect(verdict).to_contain_text("Changes an incident")
    expect(verdict).to_contain_text("the same alert is in INC-1: resolved")
    page.get_by_test_id("sample-alertmanager-checkout-errors-resolved").click()
    expect(page.get_by_test_id("explained")).to_have_attribute("data-sent", "yes")
    page.get_by_test_id("explained-incident").click()
    expect(page.get_by_test_id("channel-title")).to_contain_text("checkout-5xx")


def test_nobody_picks_up_until_the_second_level_does(page: Page) -> None:
    fires_and_goes_there(page)
    expect(page.get_by_test_id("phone-ben")).to_have_attribute("data-ringing", "no")
    page.get_by_test_id("clock-plus-5m").click()

    for minutes in (2, 4):
        expect(said(page, f"INC-1 is not acknowledged after {minutes} of 5 min")).to_be_visible()
    expect(said(page, "INC-1: nobody acknowledged within the target (5 min 0 s so far)")).to_be_visible()
    ben = page.get_by_test_id("phone-ben")
    expect(ben).to_have_attribute("data-ringing", "yes")
    expect(ben).to_contain_text("push · level 2")
    expect(page.get_by_test_id("phone-ana")).to_have_attribute("data-ringing", "yes")
    expect(page.get_by_test_id("phone-chloe")).to_have_attribute("data-ringing", "no")

    ben.get_by_role("button", name="Acknowledge").click()
    expect(card(page)).to_contain_text(re.compile("Acknowledged by @Ben Okafor.*target of 5 min missed"))
    expect(page.get_by_test_id("phone-ana")).to_contain_text("Ben is on it")
    page.get_by_test_id("channel-incidents").click()
    expect(said(page, "INC-1: nobody acknowledged within the target")).to_be_visible()
    expect(said(page, "@Ben Okafor is on it")).to_be_visible()


def test_on_a_telephone_with_slack_down_the_page_still_comes_and_is_taken(browser: Browser, demo: Demo) -> None:
    page, wrong = opened(browser, demo, 390, 844)
    page.get_by_test_id("tab-controls").click()
    page.get_by_test_id("fault-slack-down").click()
    page.get_by_test_id("sample-alertmanager-checkout-errors").click()
    page.get_by_test_id("tab-phones").click()
    phone = page.get_by_test_id("phone-ana")
    expect(phone).to_have_attribute("data-ringing", "yes")
    phone.get_by_role("button", name="Acknowledge").click()
    expect(phone).to_have_attribute("data-ringing", "no")

    page.get_by_test_id("tab-controls").click()
    page.get_by_test_id("fault-slack-up").click()
    page.get_by_role("button", name="Go there").click(timeout=30_000)
    expect(card(page)).to_contain_text("Acknowledged by @Ana Silva in PagerDuty")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    close(page, wrong)
