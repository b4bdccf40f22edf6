"""Runbooks: what can be read of them, which one fits an alert and why, and everything that the lint finds."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from bot.alerts.alert import Kind, Link, Status
from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.matching import canonical
from bot.alerts.registry import sources
from bot.alerts.routing import Outcome, choose_route
from bot.alerts.source import Delivery
from bot.errors import Broken
from bot.incidents.heartbeats import absent
from bot.incidents.policy import HeartbeatRule
from bot.incidents.policy import read as read_policy
from bot.runbooks import SECTIONS, Runbook, choose, doubts_about_folder, lint_folder, parse, read_folder
from tests.builders import NOON, alert

TOP = Path(__file__).parents[1]
SHIPPED = TOP / "runbooks"
TODAY = date(2026, 10, 20)
NOW = datetime(2026, 10, 20, 9, 0, tzinfo=UTC)

WELL = """---
title: Checkout answers with errors
alerts: [CheckoutErrorRateHigh]
owner: "@team-checkout"
last_reviewed: 2026-10-12
---
# Checkout answers with errors

## Meaning
Requests fail.

## Impact
Nobody can pay.

## First 60 seconds
1. Acknowledge.
2. Roll back.

## Diagnosis
Look at the [dashboard](https://grafana.example.com/d/checkout).

```sh
kubectl get pods
```

## Mitigation
- [ ] Roll back (risk: low)

## Verify
It is over.

## Escalation
Page payments.
"""


def book(path: str, *alerts: str, **more) -> Runbook:
    return Runbook(path=path, title=path, alerts=alerts, **more)


def named(name: str, **changes):
    return alert(labels={"alertname": name, "service": "checkout"}, **changes)


# --- reading ----------------------------------------------------------------------------------


def test_front_matter_and_sections_are_read():
    one = parse("checkout.md", WELL)

    assert (one.title, one.alerts, one.owner) == ("Checkout answers with errors", ("CheckoutErrorRateHigh",), "@team-checkout")
    assert one.last_reviewed == date(2026, 10, 12)
    assert one.review_every == timedelta(days=90)
    assert tuple(one.sections) == SECTIONS
    assert one.lines["Meaning"] == WELL.splitlines().index("## Meaning") + 1
    assert one.first_minute == ("Acknowledge.", "Roll back.")


def test_a_file_without_front_matter_is_for_the_alert_in_its_heading():
    one = parse("notes/anything.md", "# KubePodCrashLooping\n\n## Meaning\nIt restarts.\n")

    assert (one.title, one.alerts, one.has_front_matter) == ("KubePodCrashLooping", ("KubePodCrashLooping",), False)


def test_front_matter_may_be_empty():
    assert parse("x.md", "---\n---\n# DiskFull\n").alerts == ("DiskFull",)


def test_one_word_may_stand_for_a_list_of_one():
    one = parse("x.md", "---\nalerts: DiskFull\nmatch: {service: web, severity: [critical, high]}\n---\n")

    assert one.alerts == ("DiskFull",)
    assert one.match == {"service": ("web",), "severity": ("critical", "high")}


@pytest.mark.parametrize(("written", "days"), [("90d", 90), ("30", 30), (7, 7)])
def test_review_every_is_in_days(written, days):
    assert parse("x.md", f"---\nreview_every: {written}\n---\n").review_every == timedelta(days=days)


def test_a_moment_of_review_counts_as_its_day():
    one = parse("x.md", "---\nlast_reviewed: 2026-05-20 10:00:00\n---\n")

    assert one.last_reviewed == date(2026, 5, 20)
    assert one.stale_days(TODAY) == 153


def test_a_heading_in_a_code_block_is_no_section():
    for fence in ("```", "   ```"):
        one = parse("x.md", f"## Diagnosis\n{fence}text\n## not a section\n{fence}\nafter\n")

        assert tuple(one.sections) == ("Diagnosis",)


def test_five_lines_of_the_first_minute_are_shown_without_their_numbers():
    steps = "\n".join(["1. one", "2. two", "", "- three", "* four", "10. ten", "6. six"])

    assert parse("x.md", f"## First 60 seconds\n{steps}\n").first_minute == ("one", "two", "three", "four", "ten")


@pytest.mark.parametrize(
    ("matter", "said"),
    [
        ("title: x\nowner x", "notes/x.md:3: front matter: could not find expected ':'"),
        ("owner: o\ntitle: x\n title: y", "notes/x.md:4: front matter: mapping values are not allowed here"),
        ("owner: o\nalerts: [a", "notes/x.md:3: front matter:"),
        ("title: x\nlast_reviewed: yesterday", "notes/x.md:3: last_reviewed: expected a date like 2026-05-20, not 'yesterday'"),
        ("title: x\nlast_reviewed: 2026-13-45", "notes/x.md:3: last_reviewed: expected a date like 2026-05-20"),
        ("owner: o\nreview_every: often", "notes/x.md:3: review_every: expected days like 90d, not 'often'"),
        ("owner: o\ntitle: x\nmatch: checkout", "notes/x.md:4: match: expected a map of label to pattern"),
        ("owner: o\nmatch:\n  service: {a: b}", "notes/x.md:3: match: expected a map of label to pattern"),
        ("owner: o\nalerts: {a: b}", "notes/x.md:3: alerts: expected a name or a list of names"),
        ("owner: o\ndashboards: [[a]]", "notes/x.md:3: dashboards: expected"),
        ("owner: o\ntitle: [a]", "notes/x.md:3: title: expected"),
        ("owner: o\n\nown: p", "notes/x.md:4: own: unknown in the front matter; known are alerts, dashboards"),
        ("alerts: " + "[" * 3000, "notes/x.md:1: front matter: nested too deep"),
        ("- a\n- b", "notes/x.md:1: the front matter must be a map"),
    ],
)
def test_broken_front_matter_names_file_and_line(matter, said):
    with pytest.raises(Broken) as broken:
        parse("x.md", f"---\n{matter}\n---\n# X\n", "notes/x.md")

    assert str(broken.value).startswith(said)


def test_front_matter_that_never_ends_is_said():
    with pytest.raises(Broken, match=r"x\.md:1: the front matter has no end; close it with a line of ---"):
        parse("x.md", "---\ntitle: x\n# X\n")


# --- files ------------------------------------------------------------------------------------


def test_a_folder_is_read_with_the_folders_in_it(tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "slow.md").write_text("# Slow")
    (tmp_path / "README.md").write_text("# No runbook")
    (tmp_path / "down.md").write_text("# Down")

    assert [one.path for one in read_folder(tmp_path)] == ["down.md", "web/slow.md"]
    assert read_folder(tmp_path / "nothing") == ()


def test_a_link_out_of_the_folder_is_never_followed_and_the_lint_says_so(tmp_path):
    outside = tmp_path / "secret.md"
    outside.write_text("# InstanceDown\n\nwhat nobody should see\n")
    folder = tmp_path / "runbooks"
    folder.mkdir()
    (folder / "escape.md").symlink_to(outside)

    assert read_folder(folder) == ()
    assert [str(one) for one in lint_folder(folder)] == [f"{folder / 'escape.md'}: leads out of the folder of runbooks"]


def test_a_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "binary.md").write_bytes(b"# \xff\xfe")

    with pytest.raises(Broken, match=r"binary\.md: cannot be read"):
        read_folder(tmp_path)


def test_a_byte_order_mark_does_not_hide_the_front_matter(tmp_path):
    (tmp_path / "marked.md").write_bytes(b"\xef\xbb\xbf---\r\ntitle: Marked\r\n---\r\n# X\r\n")

    assert read_folder(tmp_path)[0].title == "Marked"


# --- which one fits ---------------------------------------------------------------------------


def test_an_exact_name_comes_before_a_pattern_and_the_reason_says_which():
    books = [book("a.md", "*"), book("b.md", "Checkout*"), book("c.md", "CheckoutErrorRateHigh")]

    choice = choose(named("CheckoutErrorRateHigh"), books, "a.md", TODAY)

    assert choice.runbook.path == "c.md"
    assert choice.reason == "it is for the alert CheckoutErrorRateHigh"


def test_a_pattern_comes_before_a_file_name_and_a_default():
    books = [book("checkout-error-rate-high.md"), book("z.md", "Checkout*")]

    choice = choose(named("CheckoutErrorRateHigh"), books, "checkout-error-rate-high.md", TODAY)

    assert (choice.runbook.path, choice.reason) == ("z.md", "it is for alerts like Checkout*")


def test_in_a_pattern_brackets_are_brackets():
    books = [book("a.md", "[FIRING:1] Disk*"), book("b.md", "[a-z]isk*")]

    assert choose(named("[FIRING:1] DiskFull"), books, None, TODAY).runbook.path == "a.md"
    assert choose(named("diskFull"), books, None, TODAY).runbook is None


def test_among_equals_more_labels_come_first_and_then_the_first_path():
    exact = "CheckoutErrorRateHigh"
    loose, tight = book("a.md", exact), book("z.md", exact, match={"service": ("checkout",)})

    assert choose(named(exact), [loose, tight], None, TODAY).runbook.path == "z.md"
    assert choose(named(exact), [tight, loose], None, TODAY).reason == f"it is for the alert {exact}, service checkout"
    assert choose(named(exact), [book("b.md", exact), book("a.md", exact)], None, TODAY).runbook.path == "a.md"


def test_a_label_that_does_not_fit_rules_a_runbook_out():
    other = book("a.md", "CheckoutErrorRateHigh", match={"service": ("payments",)})

    choice = choose(named("CheckoutErrorRateHigh"), [other], None, TODAY)

    assert (choice.runbook, choice.url) == (None, None)
    assert choice.reason.startswith("no runbook matches CheckoutErrorRateHigh")


@pytest.mark.parametrize("word", ["warning", "medium", "warn*"])
def test_a_severity_may_be_written_as_the_sender_says_it_or_as_we_do(word):
    one = alert(labels={"alertname": "X", "severity": "warning"}, severity=AlertSeverity.MEDIUM)

    assert choose(one, [book("a.md", "X", match={"severity": (word,)})], None, TODAY).runbook is not None
    assert choose(one, [book("a.md", "X", match={"severity": ("critical",)})], None, TODAY).runbook is None


@pytest.mark.parametrize("path", ["kube-pod-crash-looping.md", "KubePodCrashLooping.md", "alerts/kube_pod_crash_looping.md"])
def test_a_file_may_be_named_after_the_alert_in_any_spelling(path):
    choice = choose(named("KubePodCrashLooping"), [book(path)], "other.md", TODAY)

    assert (choice.runbook.path, choice.reason) == (path, "its file is named after the alert KubePodCrashLooping")


def test_names_in_other_scripts_are_not_all_the_same():
    books = [book("диск.md"), book("磁盘已满.md")]

    assert choose(named("磁盘已满"), books, None, TODAY).runbook.path == "磁盘已满.md"
    assert choose(named("数据库"), books, None, TODAY).runbook is None


def test_without_a_name_the_title_counts():
    assert choose(alert(labels={}, title="Nightly export failed"), [book("a.md", "Nightly*")], None, TODAY).runbook.path == "a.md"


def test_the_runbook_that_an_alert_names_comes_before_every_other():
    url = "https://wiki.example.com/errors"
    one = named("CheckoutErrorRateHigh", links=(Link("dashboard", "https://x.example"), Link("runbook", url)))

    choice = choose(one, [book("a.md", "CheckoutErrorRateHigh")], "a.md", TODAY)

    assert (choice.runbook, choice.url, choice.reason) == (None, url, "the alert names it")


def test_an_address_of_one_of_our_own_files_shows_that_file():
    url = "https://git.example.com/team/firstfive/blob/main/runbooks/web/slow.md#first-60-seconds"
    ours = book("web/slow.md", last_reviewed=date(2026, 1, 1))

    choice = choose(named("X", links=(Link("runbook", url),)), [ours], None, TODAY)

    assert (choice.runbook, choice.url, choice.stale_days) == (ours, url, 292)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "javascript:alert(1)", "../../etc/passwd", "https://x y", "//[bad"])
def test_an_address_that_is_none_of_the_web_is_not_shown(address):
    body = b'{"title": "x", "links": [{"rel": "runbook", "url": "%s"}]}' % address.encode()
    one = sources()["generic"].parse(Delivery(body, {}, "main", NOW), {}).alerts[0]

    assert choose(one, [], None, TODAY).url is None


@pytest.mark.parametrize("default", ["a.md", "runbooks/a.md"])
def test_the_services_own_runbook_is_the_last_resort(default):
    choice = choose(named("Unknown"), [book("a.md", "Other")], default, TODAY)

    assert (choice.runbook.path, choice.reason) == ("a.md", "the policy names it for this service")


def test_the_services_runbook_may_live_elsewhere():
    choice = choose(named("Unknown"), [], "https://wiki.example.com/x", TODAY)

    assert (choice.runbook, choice.url, choice.reason) == (
        None, "https://wiki.example.com/x", "the policy names it for this service",
    )  # fmt: skip


@pytest.mark.parametrize("default", [None, "", "gone.md", "../policy.yaml", "file:///etc/passwd"])
def test_where_nothing_fits_the_reason_says_so_and_where_to_begin(default):
    choice = choose(named("Unknown"), [book("a.md", "Other")], default, TODAY)

    assert (choice.runbook, choice.url) == (None, None)
    assert choice.reason == "no runbook matches Unknown; docs/how-to/write-a-runbook.md says how to write one"
    assert (TOP / "docs/how-to/write-a-runbook.md").exists()


def test_an_overdue_runbook_is_still_chosen_and_says_how_old_it_is():
    old = book("a.md", "X", last_reviewed=TODAY - timedelta(days=91))

    assert choose(named("X"), [old], None, TODAY).stale_days == 91
    assert choose(named("X"), [book("a.md", "X", last_reviewed=TODAY - timedelta(days=90))], None, TODAY).stale_days is None
    assert choose(named("X"), [book("a.md", "X")], None, TODAY).stale_days is None


# --- the lint ---------------------------------------------------------------------------------


def linted(folder: Path, text: str) -> list[str]:
    (folder / "checkout.md").write_text(text, encoding="utf-8")
    return [str(one).removeprefix(f"{folder / 'checkout.md'}") for one in lint_folder(folder)]


def test_a_good_runbook_gives_no_finding(tmp_path):
    assert linted(tmp_path, WELL) == []


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_is_needed(tmp_path, name):
    assert linted(tmp_path, WELL.replace(f"## {name}\n", f"### {name}\n"))[0] == f": the section “## {name}” is missing"


def test_an_empty_section_is_found_on_its_line(tmp_path):
    line = WELL.splitlines().index("## Impact") + 1

    assert linted(tmp_path, WELL.replace("Nobody can pay.", "")) == [f":{line}: the section “## Impact” is empty"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('owner: "@team-checkout"\n', "", ":1: owner: missing in the front matter"),
        ("last_reviewed: 2026-10-12\n", "", ":1: last_reviewed: missing in the front matter"),
        ("alerts: [CheckoutErrorRateHigh]\n", "", ":1: alerts: missing in the front matter"),
        ("```sh", "```", "LINE: a code block without a language"),
        ("```sh\nkubectl get pods\n```", "1. x\n\n   ```\n   kubectl get pods\n   ```", "LINE+2: a code block without a language"),
        ("Requests fail.", "Requests fail. TODO", "LINE: unfinished words"),
        ("Requests fail.", "Requests fail: <insert link>", "LINE: unfinished words"),
        ("Requests fail.", "tbd", "LINE: unfinished words"),
        ("Requests fail.", "See (the wiki)[https://wiki.example.com].", "LINE: a reversed link"),
        ("Requests fail.", "See [disks](disk-fills.md).", "LINE: the link to disk-fills.md leads nowhere"),
        ("Requests fail.", "See [verifying](#verifying).", "LINE: the link to #verifying leads nowhere"),
        ("Requests fail.", "See [itself](checkout.md#nothing).", "LINE: the link to checkout.md#nothing leads nowhere"),
        ("Requests fail.", "curl -H 'token: 8f2kq0s9dk2l'", "LINE: this looks like a secret"),
        ("Requests fail.", "password=hunter2hunter2", "LINE: this looks like a secret"),
        ("Requests fail.", "xoxb-" + "1234567890", "LINE: this looks like a secret"),
        ("Requests fail.", "xapp-" + "1-A1234567890", "LINE: this looks like a secret"),
        ("Requests fail.", "AKIA" + "ABCDEFGHIJKLMNOP", "LINE: this looks like a secret"),
        ("Requests fail.", "-----BEGIN RSA " + "PRIVATE KEY-----", "LINE: this looks like a secret"),
        ("2. Roll back.", "2. a\n3. b\n4. c\n5. d\n6. Roll back.", "FIRST: “First 60 seconds” has 6 lines; 5 are shown"),
    ],
)  # fmt: skip
def test_each_rule_of_the_lint_finds_its_fault_on_its_line(tmp_path, old, new, said):
    line = WELL[: WELL.index(old)].count("\n") + 1
    first = WELL.splitlines().index("## First 60 seconds") + 1
    said = said.replace("LINE+2", f":{line + 2}").replace("LINE", f":{line}").replace("FIRST", f":{first}")

    found = linted(tmp_path, WELL.replace(old, new))

    assert len(found) == 1, found
    assert found[0].startswith(said)


@pytest.mark.parametrize(
    "line",
    [
        "See [the verification](#verify) and [what it means](checkout.md#first-60-seconds).",
        "Ask with `max_over_time((errors)[30m:1m])` and `sum(rate(x))[5m]`.",
        "Write to [the team](mailto:team@example.com).",
        "The password is in the vault under *checkout*.",
        "Alerts of today to do: none.",
    ],
)
def test_what_is_well_is_left_alone(tmp_path, line):
    assert linted(tmp_path, WELL.replace("Requests fail.", line)) == []


def test_two_runbooks_for_the_same_alert_are_found(tmp_path):
    (tmp_path / "another.md").write_text(WELL, encoding="utf-8")

    assert linted(tmp_path, WELL) == [":3: CheckoutErrorRateHigh: another.md is for it, too; leave it in one of them"]


def test_the_same_alert_in_two_services_is_no_fault(tmp_path):
    for service in ("web", "search"):
        text = WELL.replace("owner:", f"match: {{service: {service}}}\nowner:")
        (tmp_path / f"{service}.md").write_text(text, encoding="utf-8")

    assert list(lint_folder(tmp_path)) == []


def test_a_file_that_cannot_be_read_does_not_hide_the_faults_of_the_others(tmp_path):
    (tmp_path / "a.md").write_text("---\nowner\n---\n")

    found = linted(tmp_path, WELL.replace("Nobody can pay.", ""))

    assert [one.rpartition("/")[2].partition(":")[0] for one in found] == ["a.md", ""]


@pytest.mark.parametrize("pattern", ["Disk[12]*", "^Disk", "Disk.*full", "full$", "re:^Disk", "[FIRING:1] Disk*"])
@pytest.mark.parametrize(("key", "said"), [("alerts: ", "alerts"), ("alerts: Disk\nmatch:\n  team: ", "match.team")])
def test_a_pattern_that_may_be_meant_otherwise_is_told_and_is_no_fault(tmp_path, pattern, key, said):
    assert linted(tmp_path, WELL.replace("alerts: [CheckoutErrorRateHigh]", f"{key}[a, '{pattern}']")) == []

    line = 3 if said == "alerts" else 4
    assert [str(one) for one in doubts_about_folder(tmp_path)] == [
        f"{tmp_path / 'checkout.md'}:{line}: {said}: only * and ? are wild in {pattern!r}, and all else is looked for as it stands; "
        "if more is meant, write each name"
    ]


def test_of_a_pattern_that_is_one_there_is_no_doubt(tmp_path):
    (tmp_path / "broken.md").write_text("---\nowner\n---\n")
    (tmp_path / "plain.md").write_text("# web[12] is slow\n")

    assert linted(tmp_path, WELL.replace("[CheckoutErrorRateHigh]", '["Check?ut*", "a.b*c", "50$"]\nmatch: {app: "*"}'))
    assert list(doubts_about_folder(tmp_path)) == list(doubts_about_folder(SHIPPED)) == []


# --- the ones that are shipped ----------------------------------------------------------------


def test_the_shipped_runbooks_have_no_fault():
    assert [str(one) for one in lint_folder(SHIPPED)] == []


@pytest.mark.parametrize("one", read_folder(SHIPPED), ids=lambda one: one.path)
def test_a_shipped_runbook_names_a_severity_of_ours_and_says_what_to_do_at_once(one):
    assert one.severity_hint in {"SEV1", "SEV2", "SEV3", "SEV4", "SEV5"}
    assert one.first_minute[0].startswith("Acknowledge")
    assert one.title in (SHIPPED / one.path).read_text(encoding="utf-8").partition("\n# ")[2].splitlines()[0]


def test_what_is_no_longer_heard_has_a_runbook():
    rule = HeartbeatRule(name="Prometheus", within=timedelta(minutes=5), service="platform")
    watchdog = alert(kind=Kind.HEARTBEAT, title="Watchdog", labels={"alertname": "Watchdog"})
    found = choose(absent(watchdog, "main", rule, NOON), read_folder(SHIPPED), None, TODAY)

    assert found.runbook is not None
    assert (found.runbook.path, found.reason) == ("heartbeat-missing.md", "it is for the alert HeartbeatMissing")


FITTING = {
    "alertmanager/checkout-errors": ("checkout-errors.md", "it is for the alert CheckoutErrorRateHigh"),
    "alertmanager/database-connections": ("database-connections.md", "it is for the alert DatabaseConnectionsExhausted"),
    "alertmanager/payment-provider": ("payment-provider-errors.md", "it is for the alert PaymentProviderErrors, service payments"),
    "alertmanager/instance-down": ("instance-down.md", "it is for the alert InstanceDown"),
    "alertmanager/latency": ("latency.md", "it is for the alert HighLatencyP95"),
    "alertmanager/disk": ("disk-fills.md", "it is for the alert DiskWillFillIn4Hours"),
    "alertmanager/crash-loop": ("pod-crash-looping.md", "it is for the alert KubePodCrashLooping"),
    "alertmanager/queue": ("queue-backlog.md", "it is for the alert QueueBacklogGrowing"),
    "alertmanager/certificate": ("certificate-expires.md", "it is for the alert CertificateExpiresSoon"),
    "grafana/checkout-latency": ("latency.md", "it is for alerts like *Latency*"),
    "grafana/no-data": ("no-data.md", "it is for the alert DatasourceNoData"),
    "generic/nightly-export": ("nightly-export.md", "it is for the alert Nightly export failed"),
}
"""Examples for which there is a runbook. Any other gets the reason why there is none."""


def fired():
    """Every example that is an alert and fires: what can open an incident."""
    for source in sources().values():
        for example in source.examples:
            headers = {"content-type": example.content_type, **{name.lower(): value for name, value in example.headers.items()}}
            for one in source.parse(Delivery(example.body_at(NOW), headers, "main", NOW), {}).alerts:
                if one.status is Status.FIRING and one.kind is Kind.ALERT:
                    yield f"{source.name}/{example.name}", one


def test_every_alert_that_the_demo_can_fire_gets_a_runbook_that_fits_with_the_reason():
    policy = read_policy((TOP / "policy.yaml").read_text(encoding="utf-8"))
    books, got = read_folder(SHIPPED), {}
    for name, one in fired():
        route, _ = choose_route(one, "main", policy.built_routes(), NOW)
        service = policy.service(canonical(route.service or one.service, policy.aliases()))
        choice = choose(one, books, route.runbook or service.runbook, TODAY)
        got[name] = (choice.runbook.path if choice.runbook else choice.url, choice.reason)
        assert route.outcome is not Outcome.DROP

    assert {name: got[name] for name in FITTING} == FITTING
    assert all(reason for _, reason in got.values())
