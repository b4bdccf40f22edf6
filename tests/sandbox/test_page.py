"""The sandbox's page in a real browser: what is said is shown, what is pressed is done, and no text becomes markup."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bot.slack.commands import SUBS
from sandbox.app import PAGE, Sandbox
from sandbox.cast import BY_NAME
from sandbox.serving import running
from sandbox.world import World

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
SAMPLES = [
    {"source": "alertmanager", "example": "errors", "title": "Checkout fails", "status": "firing"},
    {"source": "alertmanager", "example": "errors-resolved", "title": "Checkout fails", "status": "resolved"},
]
HOSTILE = '<img src=x onerror="window.hit=1"> <script>window.hit=1</script> <javascript:window.hit=1|press>'

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture
def fired() -> list[tuple[str, str | None]]:
    """What was fired at the bot that is not there."""
    return []


@pytest.fixture
def sandbox(fired: list[tuple[str, str | None]]) -> Iterator[Sandbox]:
    def fire(source: str, example: str | None) -> dict[str, Any]:
        fired.append((source, example))
        return {"ok": True, "status": 202}

    def explain(source: str, example: str | None) -> dict[str, Any]:
        incident = "INC-1" if fired else None
        alert = {"title": HOSTILE, "status": "firing", "severity": "critical", "outcome": "join" if fired else "open",
                 "incident": incident, "opens": None if fired else "SEV1", "reason": "…",
                 "pages": not fired,
                 "facts": {"status": "firing", "identity": HOSTILE,
                           "would page": "nobody: a" + "b" * 90 if fired else f"the on-call by {HOSTILE}",
                           "then": f"{'join' if fired else 'open'}: {HOSTILE}"}}  # fmt: skip
        return {"ok": True, "headline": "Alertmanager: verified", "verified": True, "ignored": "", "alerts": [alert]}

    with running(World(samples=lambda: SAMPLES, fire=fire, explain=explain)) as one:
        yield one


@pytest.fixture
def page(browser: Browser, sandbox: Sandbox) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB", timezone_id="Etc/UTC")
    one = context.new_page()
    wrong: list[str] = []
    one.on("pageerror", lambda error: wrong.append(str(error)))
    one.goto(sandbox.world.origin)
    expect(one.get_by_test_id("link")).to_have_attribute("data-link", "live")
    yield one
    context.close()
    assert wrong == []


def bot_says(sandbox: Sandbox, text: str, blocks: list[dict[str, Any]] | None = None, name: str = "incidents") -> str:
    with sandbox.world.lock:
        channel = sandbox.space.named(name)
        assert channel is not None
        more = {"blocks": blocks} if blocks else {}
        return str(sandbox.space.add_by_bot(channel, text=text, **more)["ts"])


def mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def page_ana(sandbox: Sandbox, summary: str = "Checkout fails") -> None:
    event = {
        "routing_key": sandbox.account.services["checkout"].key, "event_action": "trigger", "dedup_key": "k1",
        "payload": {"summary": summary, "source": "here", "severity": "critical"},
    }  # fmt: skip
    assert httpx.post(f"{sandbox.world.origin}/pagerduty/events/v2/enqueue", json=event).status_code == 202


def test_a_message_appears_without_reloading(page: Page, sandbox: Sandbox) -> None:
    ts = bot_says(sandbox, "*INC-1* is `open` :fire:")

    message = page.locator(f'[data-testid="message"][data-ts="{ts}"]')
    expect(message).to_contain_text("INC-1 is open 🔥")
    expect(message.locator("strong")).to_have_text("INC-1")
    expect(message.locator("code")).to_have_text("open")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "section", "text": mrkdwn(HOSTILE)},
        {"type": "section", "fields": [mrkdwn(HOSTILE)]},
        {"type": "header", "text": plain(HOSTILE)},
        {"type": "context", "elements": [mrkdwn(HOSTILE), plain(HOSTILE)]},
        {"type": "markdown", "text": f"# {HOSTILE}\n- [press](javascript:window.hit=1)\n\n| {HOSTILE} |\n|---|\n| x |"},
        {"type": "table", "rows": [[{"type": "raw_text", "text": HOSTILE}]]},
        {"type": "actions", "elements": [{"type": "button", "text": plain(HOSTILE[:70]), "action_id": "a"}]},
        {"type": "image", "image_url": "javascript:window.hit=1", "alt_text": HOSTILE},
        {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [
            {"type": "text", "text": HOSTILE}, {"type": "link", "url": "javascript:window.hit=1", "text": HOSTILE}]}]},
    ],
    ids=lambda block: block["type"],
)  # fmt: skip
def test_hostile_text_stays_text(page: Page, sandbox: Sandbox, block: dict[str, Any]) -> None:
    ts = bot_says(sandbox, "hostile", [block])

    message = page.locator(f'[data-testid="message"][data-ts="{ts}"] .words')
    expect(message).to_contain_text("onerror")
    assert message.locator("img, script, a").count() == 0
    assert page.evaluate("window.hit") is None


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*a* _b_ ~c~", "<strong>a</strong> <em>b</em> <s>c</s>"),
        ("2*3*4 and snake_case_name", "2*3*4 and snake_case_name"),
        ("*bold with `code*` in it*", "<strong>bold with <code>code*</code> in it</strong>"),
        ("a &amp; b &lt;!channel&gt;", "a &amp; b &lt;!channel&gt;"),
        ("&gt; said\n> more", "<blockquote>said<br>more</blockquote>"),
        ("one\ntwo", "one<br>two"),
        ("```x < y\nz```", '<pre class="fence">x &lt; y\nz</pre>'),
        (":nosuch: 10:30:15", ":nosuch: 10:30:15"),
    ],
)
def test_mrkdwn_is_drawn_as_slack_draws_it(page: Page, sandbox: Sandbox, text: str, html: str) -> None:
    ts = bot_says(sandbox, text)

    assert page.locator(f'[data-ts="{ts}"] .b-text').inner_html() == html


def test_people_channels_and_dates_are_shown_by_name(page: Page, sandbox: Sandbox) -> None:
    general = sandbox.space.named("general")
    assert general is not None
    ana = BY_NAME["ana"].slack_id
    noon, link = "<!date^1766577600^{time_secs}|noon>", "<https://x.test/a?b=1&amp;c=2|here>"
    ts = bot_says(sandbox, f"<@{ana}> in <#{general.id}> at {noon}, {link}")

    message = page.locator(f'[data-ts="{ts}"]')
    expect(message).to_contain_text("@Ana Silva in #general at 12:00:00, here")
    expect(message.locator("a")).to_have_attribute("href", "https://x.test/a?b=1&c=2")
    message.locator("button.mention").click()
    expect(page.get_by_test_id("channel-title")).to_have_text(re.compile("general"))


def test_a_block_that_nobody_knows_is_named(page: Page, sandbox: Sandbox) -> None:
    ts = bot_says(sandbox, "x", [{"type": "data_visualization", "title": plain("Pages a week")}])

    expect(page.locator(f'[data-ts="{ts}"]')).to_contain_text("data_visualization block: Pages a week")


def test_an_ephemeral_answer_is_seen_by_one_person_only(page: Page, sandbox: Sandbox) -> None:
    with sandbox.world.lock:
        channel = sandbox.space.named("incidents")
        assert channel is not None
        sandbox.space.whisper(channel, BY_NAME["ana"].slack_id, text="for Ana")

    answer = page.locator('[data-ephemeral="yes"]')
    expect(answer).to_contain_text("Only visible to you")
    page.get_by_test_id("person-ben").click()
    expect(answer).to_have_count(0)


def test_a_guest_sees_only_where_they_were_invited(page: Page) -> None:
    page.get_by_test_id("person-eve").click()

    expect(page.get_by_test_id("channel-team-checkout")).to_be_visible()
    expect(page.get_by_test_id("channel-incidents")).to_have_count(0)


def test_typed_words_are_sent_and_a_wrong_command_is_answered(page: Page, sandbox: Sandbox) -> None:
    line = page.get_by_test_id("composer")
    line.fill("Looking into it, @ben")
    line.press("Enter")
    expect(page.get_by_test_id("message").last).to_contain_text("Looking into it, @Ben Okafor")

    line.fill("/nonsense now")
    line.press("Enter")
    expect(page.get_by_test_id("notice")).to_contain_text("/nonsense is not a valid command")


def test_subcommands_are_suggested_and_tab_takes_one(page: Page) -> None:
    line = page.get_by_test_id("composer")
    line.press_sequentially("/incident res")
    expect(page.get_by_test_id("suggestion")).to_have_text([re.compile("^resolve")])
    line.press("Tab")

    expect(line).to_have_value("/incident resolve ")


def test_what_is_suggested_is_what_the_bot_knows() -> None:
    source = (PAGE / "composer.js").read_text(encoding="utf-8")
    table = source[source.index("SUBCOMMANDS = [") : source.index("];")]

    assert re.findall(r'^  \["(\w+)"', table, re.MULTILINE) == [sub.name for sub in SUBS]


def test_a_phone_rings_and_is_picked_up(page: Page, sandbox: Sandbox) -> None:
    page_ana(sandbox)

    phone = page.get_by_test_id("phone-ana")
    expect(phone).to_have_attribute("data-ringing", "yes")
    expect(phone).to_contain_text("Checkout fails")
    expect(page.get_by_test_id("phone-ben")).to_have_attribute("data-ringing", "no")
    phone.get_by_test_id("phone-ack").click()

    expect(phone).to_have_attribute("data-ringing", "no")
    expect(page.get_by_test_id("pagerduty-incident")).to_have_attribute("data-status", "acknowledged")
    expect(page.get_by_test_id("guide-acknowledge")).to_have_attribute("data-done", "yes")


def test_the_clock_moves_and_an_unanswered_page_goes_to_the_next_level(page: Page, sandbox: Sandbox) -> None:
    page_ana(sandbox)
    page.get_by_test_id("clock-plus-30m").click()

    expect(page.get_by_test_id("phone-ben")).to_have_attribute("data-ringing", "yes")
    expect(page.get_by_test_id("clock")).to_contain_text("30 min ahead")


def test_switches_break_and_mend_a_neighbour(page: Page, sandbox: Sandbox) -> None:
    page.get_by_test_id("fault-slack-down").click()
    expect(page.locator("#slack-banner")).to_contain_text("Slack's API is down")
    assert sandbox.world.faults["slack"] == "down"

    page.get_by_test_id("fault-slack-up").click()
    expect(page.locator("#slack-banner")).to_be_hidden()


def test_the_arrows_choose_what_breaks(page: Page, sandbox: Sandbox) -> None:
    page.get_by_test_id("fault-slack-up").focus()
    for state in ("slow", "limited", "down"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_test_id(f"fault-slack-{state}")).to_have_attribute("aria-checked", "true")
        expect(page.get_by_test_id(f"fault-slack-{state}")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_test_id("fault-pagerduty-up")).to_be_focused()
    assert sandbox.world.faults == {"slack": "down", "pagerduty": "up"}


def test_pagerduty_being_down_is_said_where_the_phones_are(page: Page) -> None:
    page.get_by_test_id("fault-pagerduty-down").click()
    expect(page.locator("#pagerduty-banner")).to_contain_text("PagerDuty is down: the bot cannot reach it. It takes no new page")

    page.get_by_test_id("fault-pagerduty-up").click()
    expect(page.locator("#pagerduty-banner")).to_be_hidden()


def test_every_phone_says_who_acknowledged(page: Page, sandbox: Sandbox) -> None:
    page_ana(sandbox)
    page.get_by_test_id("phone-ana").get_by_test_id("phone-escalate").click()
    ben = page.get_by_test_id("phone-ben")
    expect(ben).to_contain_text("push · level 2")
    ben.get_by_test_id("phone-ack").click()

    expect(ben.locator(".state")).to_have_text("On it")
    expect(page.get_by_test_id("phone-ana").locator(".state")).to_have_text("Ben is on it")
    expect(page.get_by_test_id("phone-ana")).to_contain_text("Acknowledged by Ben")


def test_a_new_channel_is_read_from_its_first_message_and_an_old_one_from_its_last(page: Page, sandbox: Sandbox) -> None:
    with sandbox.world.lock:
        sandbox.api.call("conversations.create", sandbox.world.slack_token, {"name": "inc-1-checkout"})
        for number in range(40):
            bot_says(sandbox, f"line {number}", name="inc-1-checkout")
    page.get_by_role("button", name="Go there").click()
    expect(page.get_by_text("line 0", exact=True)).to_be_in_viewport()
    expect(page.get_by_text("line 39", exact=True)).not_to_be_in_viewport()

    page.get_by_test_id("channel-incidents").click()
    page.get_by_test_id("channel-inc-1-checkout").click()
    expect(page.get_by_text("line 39", exact=True)).to_be_in_viewport()


def test_a_sample_alert_and_its_all_clear_are_fired(page: Page, fired: list[tuple[str, str | None]]) -> None:
    page.get_by_test_id("sample-alertmanager-errors").click()
    expect(page.get_by_test_id("notice")).to_contain_text("Alert sent")
    page.get_by_test_id("sample-alertmanager-errors-resolved").click()
    expect(page.get_by_test_id("notice").last).to_contain_text("All clear sent")

    assert fired == [("alertmanager", "errors"), ("alertmanager", "errors-resolved")]


def test_what_would_come_of_an_alert_is_said_before_it_is_sent_and_once_more_after(
    page: Page, fired: list[tuple[str, str | None]]
) -> None:
    asks, card = page.get_by_test_id("explain-alertmanager-errors"), page.get_by_test_id("explained")
    asks.click()
    expect(card).to_have_attribute("data-sent", "no")
    expect(card).to_be_in_viewport()
    expect(page.get_by_test_id("verdict")).to_contain_text("SEV1")
    expect(page.get_by_test_id("then")).to_have_text(f"open: {HOSTILE}")
    expect(page.get_by_test_id("fact-would-page")).to_have_text(f"the on-call by {HOSTILE}")
    expect(card.locator("caption")).to_have_text(["What the bot would do", "What came in"])
    assert card.locator("img, script, a").count() == 0
    assert fired == []

    page.get_by_test_id("explained-fire").click()
    expect(card).to_have_attribute("data-sent", "yes")
    expect(page.get_by_test_id("verdict")).to_contain_text("SEV1")
    assert fired == [("alertmanager", "errors")]
    page.get_by_test_id("explain-again").click()
    expect(card).to_have_attribute("data-sent", "no")
    expect(page.get_by_test_id("verdict")).to_contain_text("INC-1")
    expect(page.get_by_test_id("fact-would-page")).to_contain_text("nobody: ")
    assert card.evaluate("card => card.scrollWidth <= card.clientWidth")

    page.get_by_test_id("explain-resolved").click()
    expect(page.get_by_test_id("explained-fire")).to_have_text("Send the all clear")
    asks.click()
    expect(card).to_have_count(0)
    page.get_by_test_id("sample-alertmanager-errors-resolved").click()
    expect(card).to_have_attribute("data-sent", "yes")
    assert fired[-1] == ("alertmanager", "errors-resolved")


def test_an_alert_that_cannot_be_explained_is_sent_all_the_same(
    page: Page, sandbox: Sandbox, fired: list[tuple[str, str | None]]
) -> None:
    sandbox.world.explain = lambda source, example: {"error": "the database is away"}
    page.get_by_test_id("explain-alertmanager-errors").click()
    expect(page.get_by_test_id("notice")).to_contain_text("the database is away")
    page.get_by_test_id("sample-alertmanager-errors").click()
    expect(page.get_by_test_id("notice").last).to_contain_text("Alert sent")

    assert fired == [("alertmanager", "errors")]
    expect(page.get_by_test_id("explained")).to_have_count(0)


def test_a_form_opens_for_its_person_asks_for_what_is_missing_and_closes(page: Page, sandbox: Sandbox) -> None:
    element = {"type": "plain_text_input", "action_id": "title"}
    field = {"type": "input", "block_id": "title", "label": plain("What is broken?"), "element": element}
    view = {"type": "modal", "title": plain("Declare"), "submit": plain("Go"), "blocks": [field]}
    with sandbox.world.lock:
        opened = sandbox.space.open(BY_NAME["ben"].slack_id, view)
    expect(page.locator("#elsewhere")).to_contain_text("Ben Okafor has a form open")
    page.get_by_test_id("person-ben").click()
    page.get_by_test_id("modal-submit").click()
    expect(page.get_by_test_id("field-error")).to_contain_text("required")

    page.get_by_test_id("field-title").fill("Half typed")
    with sandbox.world.lock:
        opened.errors = {"title": "There is one already."}
    sandbox.world.changed("views")
    expect(page.get_by_test_id("field-error")).to_have_text("There is one already.")
    expect(page.get_by_test_id("field-title")).to_have_value("Half typed")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("modal")).to_have_count(0)
    assert sandbox.space.views == {}


def test_a_markdown_file_is_read_on_the_page(page: Page, sandbox: Sandbox) -> None:
    file = {"id": "F1", "name": "inc-1.md", "title": "Draft", "mimetype": "text/markdown", "size": 30, "url": "",
            "preview": "# Draft\n<!-- seen by nobody -->\n- [ ] TODO: say why\n"}  # fmt: skip
    with sandbox.world.lock:
        channel = sandbox.space.named("incidents")
        assert channel is not None
        sandbox.space.add_by_bot(channel, text="", files=[file])
    page.get_by_test_id("file-read").click()

    reader = page.get_by_test_id("reader")
    expect(reader.locator("h2")).to_have_text("Draft")
    expect(reader.locator("li")).to_have_text("☐ TODO: say why")
    expect(reader).not_to_contain_text("seen by nobody")
    expect(page.get_by_test_id("guide-read")).to_have_attribute("data-done", "yes")


def test_a_lost_line_is_said(browser: Browser) -> None:
    with running(World()) as sandbox:
        page = browser.new_page()
        page.goto(sandbox.world.origin)
        expect(page.get_by_test_id("link")).to_have_attribute("data-link", "live")
    expect(page.get_by_test_id("link")).to_contain_text("Connection lost", timeout=15_000)
    page.close()


def test_a_phone_sized_page_has_three_tabs_and_never_scrolls_sideways(browser: Browser, sandbox: Sandbox) -> None:
    bot_says(sandbox, "word " * 80 + "x" * 300)
    page_ana(sandbox, "Checkout fails for a great many people in every country")
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(sandbox.world.origin)
    expect(page.get_by_test_id("link")).to_have_attribute("data-link", "live")
    for tab, shown in (("workspace", "composer"), ("phones", "phone-ana"), ("controls", "fault-slack-down")):
        page.get_by_test_id(f"tab-{tab}").click()
        expect(page.get_by_test_id(shown)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_the_page_needs_nothing_from_elsewhere() -> None:
    for file in Path(PAGE).iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        loads = re.findall(r"""(?:src|href|from|import|url)\s*[=(]?\s*["'](https?:)?//""", text)
        assert not loads, f"{file.name} loads something from another host"
        assert "innerHTML" not in text, f"{file.name} makes markup of text: use h() of dom.js"
