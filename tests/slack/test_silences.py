"""`/incident silence …`: how it is read, what is missing said in one line, asked twice, seen, ended."""

import json
from datetime import timedelta

import pytest

from bot.alerts.routing import Matcher
from bot.alerts.source import Delivery
from bot.errors import Refused
from bot.slack import ids
from bot.slack.silencing import read
from tests.slack.office import ANA, BEN, EVE

TWO_HOURS = timedelta(hours=2)


def matched(text):
    wish = read(f"{text} 2h a reason")
    return dict(wish.match.fields), dict(wish.match.labels)


# --- how it is read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "fields", "labels"),
    [
        ("service=checkout", {"service": ("checkout",)}, {}),
        ("Service=checkout severity=LOW", {"service": ("checkout",), "severity": ("low",)}, {}),
        ("service=checkout|cart", {"service": ("checkout", "cart")}, {}),
        ("service=checkout,cart", {"service": ("checkout", "cart")}, {}),
        ("service==checkout", {"service": ("checkout",)}, {}),
        ('title="Disk full"', {"title": ("Disk full",)}, {}),
        ('title="Disk full"|"CPU, high"', {"title": ("Disk full", "CPU, high")}, {}),
        ("title=“Disk full”", {"title": ("Disk full",)}, {}),
        ("name=Disk*", {"name": ("Disk*",)}, {}),
        ("title=re:time(out|d)", {"title": ("re:time(out|d)",)}, {}),
        ("title=~timeout|refused", {"title": ("re:timeout|refused",)}, {}),
        ('title=re:"slow disk"', {"title": ("re:slow disk",)}, {}),
        ("alertname=DiskFull team=payments", {}, {"alertname": ("DiskFull",), "team": ("payments",)}),
        ("label.service=x service=y", {"service": ("y",)}, {"service": ("x",)}),
        ("labels.app.kubernetes.io/name=x", {}, {"app.kubernetes.io/name": ("x",)}),
        ("no_data=true", {"no_data": ("true",)}, {}),
        ("severity=re:low|medium", {"severity": ("re:low|medium",)}, {}),
        ("instance=<http://db1.example.com|db1.example.com>", {}, {"instance": ("db1.example.com",)}),
        ("url=<https://example.com/a>", {"url": ("https://example.com/a",)}, {}),
        # In quotes it is meant as it stands.
        ('title="[FIRING:1] Disk*"', {"title": ("[FIRING:1] Disk*",)}, {}),
        ("host=“db-[12]”|web*", {}, {"host": ("db-[12]", "web*")}),
        ('name="^GSPC" title=^"Disk"', {"name": ("^GSPC",), "title": ("^Disk",)}, {}),
        ("name=~^Disk.*full$ host=re:db-[12]", {"name": ("re:^Disk.*full$",)}, {"host": ("re:db-[12]",)}),
    ],
)
def test_matchers_are_those_of_a_route(typed, fields, labels):
    assert matched(typed) == (fields, labels)


@pytest.mark.parametrize(
    ("typed", "match"),
    [
        ("service=check* service!=checkout", Matcher({"service": ("check*",)}, but_fields={"service": ("checkout",)})),
        ("title=Disk* environment!=prod|staging", Matcher({"title": ("Disk*",)}, but_fields={"environment": ("prod", "staging")})),
        ("title=Disk* title!~full$", Matcher({"title": ("Disk*",)}, but_fields={"title": ("re:full$",)})),
        ("service=a team!=b", Matcher({"service": ("a",)}, but_labels={"team": ("b",)})),
        (
            "annotation.team=b annotations.summary!=*disk*",
            Matcher(annotations={"team": ("b",)}, but_annotations={"summary": ("*disk*",)}),
        ),
        ("finding.package=log4j*", Matcher({"finding.package": ("log4j*",)})),
        ("change.kind=Rollback", Matcher({"change.kind": ("rollback",)})),
        ("package=a rule=b version=c", Matcher(labels={"package": ("a",), "rule": ("b",), "version": ("c",)})),
    ],
)
def test_what_is_left_out_and_what_an_alert_has_beside_its_labels(typed, match):
    assert read(f"{typed} 2h a reason").match == match


@pytest.mark.parametrize(
    ("typed", "lasts", "why"),
    [
        ("service=a 2h why not", TWO_HOURS, "why not"),
        ("2h service=a why not", TWO_HOURS, "why not"),
        ("service=a for 2h because why not", TWO_HOURS, "why not"),
        ("service=a 90m x", timedelta(minutes=90), "x"),
        ("service=a 1h30m x", timedelta(minutes=90), "x"),
        ("service=a 45min x", timedelta(minutes=45), "x"),
        ("service=a 3D x", timedelta(days=3), "x"),
        ("service=a 1w x", timedelta(days=7), "x"),
        ("service=a 2h set team=b in INC-7", TWO_HOURS, "set team=b in INC-7"),
        ("service=a 2h 30m more would do", TWO_HOURS, "30m more would do"),
        ('service=a 2h the "new" disk', TWO_HOURS, 'the "new" disk'),
    ],
)
def test_how_long_and_why(typed, lasts, why):
    wish = read(typed)

    assert (wish.lasts, wish.reason) == (lasts, why)
    assert wish.match.fields == {"service": ("a",)}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("2h moving it", "Which alerts? A silence needs at least one matcher"),
        ("checkout 2h moving it", "Which alerts?"),
        ("service=* 2h moving it", "That fits every alert there is"),
        ("service=a", "For how long?"),
        ("service=a moving it 2h", "For how long? Write it before the reason"),
        ("service=a 2 moving it", "2 what? Write `2m`, `2h` or `2d`."),
        ("service=a 2h", "Why? Add the reason at the end"),
        ("servce=a 2h x", "An alert has no field servce. Did you mean service? For a label of that name write `label.servce=…`."),
        ("sev=low 2h x", "Did you mean severity?"),
        ("severity=SEV1 2h x", "severity is one of critical, high, medium, low, info, unknown, not SEV1. SEV1 to SEV5 is what"),
        ("status=fring 2h x", "status is one of firing"),
        ("service= 2h x", "service= what?"),
        ('service="" 2h x', "service= what?"),
        ("service=a service=b 2h x", "service stands here twice. Several patterns are written `service=one|other`."),
        ("service!=a 2h x", "That fits every alert there is, but for what you leave out (service!=a). Name what is to be quiet, too"),
        ("service!~a 2h x", "That fits every alert there is, but for what you leave out (service!=re:a)."),
        ("service=* env!=a environment!=b 2h x", "An alert has no field env. Did you mean environment?"),
        ("service=* environment!=b 2h x", "That fits every alert there is, but"),
        ("service=a environment!=* 2h x", "`!=*` leaves every alert out"),
        ("service=a service!=b service!=c 2h x", "service stands here twice. Several patterns are written `service!=one|other`."),
        ("service=a severity!=SEV1 2h x", "severity is one of critical, high"),
        ("service=a service!= 2h x", "service= what?"),
        ("title=re:( 2h x", "is no regular expression"),
        ('title="Disk full 2h x', "A quote is opened and not closed"),
        ("", "Which alerts?"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_one_line(typed, said):
    with pytest.raises(Refused) as refused:
        read(typed)

    assert said in refused.value.reason
    assert "\n" not in refused.value.reason


@pytest.mark.parametrize(
    ("typed", "pattern", "expression", "words", "literal"),
    [
        ("name=Disk.*full", "Disk.*full", "name=~Disk.*full", "name=one|other", 'name="Disk.*full"'),
        ("name=^Disk", "^Disk", "name=~^Disk", "name=one|other", 'name="^Disk"'),
        ("name==full$", "full$", "name=~full$", "name=one|other", 'name="full$"'),
        (r"name=Disk\d.*full", r"Disk\d.*full", r"name=~Disk\d.*full", "name=one|other", r'name="Disk\d.*full"'),
        ("host=db-[12]", "db-[12]", "host=~^db-[12]$", "host=one|other", 'host="db-[12]"'),
        ("host=web|db-[12]", "db-[12]", "host=~^db-[12]$", "host=one|other", 'host="db-[12]"'),
        ("name=(a|b).*(c|d)", "(a|b).*(c|d)", "name=~(a|b).*(c|d)", "name=one|other", 'name="(a|b).*(c|d)"'),
        ("label.service=db-[12]", "db-[12]", "label.service=~^db-[12]$", "label.service=one|other", 'label.service="db-[12]"'),
        ("annotation.a=x service=y[1]", "y[1]", "service=~^y[1]$", "service=one|other", 'service="y[1]"'),
        ("service=a host!=db-[12]", "db-[12]", "host!~^db-[12]$", "host!=one|other", 'host!="db-[12]"'),
    ],
)
def test_what_may_be_meant_otherwise_is_no_silence_until_it_is_clear(typed, pattern, expression, words, literal):
    with pytest.raises(Refused) as refused:
        read(f"{typed} 2h x")

    assert refused.value.reason == (
        f"Only * and ? are wild in `{pattern}`. Write `{expression}` if it is a regular expression, `{words}` for each word, "
        f"or `{literal}` if it is meant as it stands."
    )
    for mended in (expression, literal):
        assert read(f"service=a {mended} 2h x" if "service=" not in mended else f"{mended} 2h x")


# --- in Slack ---------------------------------------------------------------------------------


def fires(office, name="Checkout is slow", service="search", severity="low", status="firing"):
    body = json.dumps({"title": name, "service": service, "severity": severity, "status": status, "dedup_key": name}).encode()
    writer = office.store.inbox_writer(lambda: None)
    writer.put("generic", Delivery(body, {}, "main", office.world.clock()), f"{name}{office.world.clock()}").result(10)
    writer.close()
    office.settle()


def buttons(answer):
    blocks = json.loads(answer.body)["blocks"]
    return [(one["action_id"], one["value"]) for block in blocks for one in block.get("elements", []) if one["type"] == "button"]


def announced(office):
    office.settle()
    return [one["text"] for one in office.messages("incidents")]


def test_a_silence_begins_and_everybody_is_told(offices):
    said = offices.types("silence service=search 2h moving the index")

    assert said == "Silence 1 holds for 2 h: service=search. `/incident silence end 1` ends it early."
    (told,) = announced(offices)
    assert told.startswith(f"🔕 <@{ANA}> silenced `service=search` until <!date^")
    assert told.endswith(": moving the index")
    fires(offices)
    assert len(announced(offices)) == 1


@pytest.mark.parametrize("typed", ["silence", "silence list", "silences", "muted"])
def test_what_is_quiet_is_listed_with_what_it_kept(office, typed):
    assert office.types(typed) == "🔔 No silence is in force"
    office.types("silence service=search 2h moving the index")
    fires(office)
    answer = office.sends(office.command(typed))
    shown = str(json.loads(answer.body)["blocks"])

    assert json.loads(answer.body)["text"] == "🔕 1 silence in force"
    assert "`service=search`" in shown
    assert f"<@{ANA}>: moving the index" in shown
    assert "1 alert kept quiet, the last “Checkout is slow” 0 s ago · 1 firing" in shown
    assert "'action_id': 'end_silence'" in shown


def test_it_is_ended_early_by_anybody_by_word_or_by_button(office):
    for service in ("search", "web"):
        office.types(f"silence service={service} 2h x")

    assert office.types("silence end 1 it is done", BEN) == "Silence 1 is ended. It kept nothing quiet."
    assert office.presses(ids.END_SILENCE, 2, BEN) == "Silence 2 is ended. It kept nothing quiet."
    assert f"🔔 <@{BEN}> ended silence 1 early: it is done" in announced(office)
    assert "Silence 1 was ended by" in office.types("silence end #1")
    assert "There is no silence 9" in office.types("silence end 9")
    assert "Which one? `/incident silence end 3`" in office.types("silence end")
    assert "There is no silence 0" in office.presses(ids.END_SILENCE, "x")


def test_one_that_may_swallow_a_sev1_asks_twice(office):
    answer = office.sends(office.command("silence service=checkout 2h moving it"))

    assert "may swallow a SEV1: route “checkout is losing orders” opens a SEV1" in json.loads(answer.body)["text"]
    assert buttons(answer) == [(ids.CONFIRM_SILENCE, "1")]
    assert announced(office) == []
    assert "No silence is in force" in office.types("silences")
    assert f"was asked for by <@{ANA}>: only they can confirm it" in office.presses(ids.CONFIRM_SILENCE, 1, BEN)
    assert "You were not asked to confirm" in office.types("silence confirm", BEN)
    assert "Silence 1 holds for 2 h" in office.presses(ids.CONFIRM_SILENCE, 1)
    assert len(announced(office)) == 1
    assert "was confirmed already" in office.presses(ids.CONFIRM_SILENCE, 1)


@pytest.mark.parametrize("typed", ["silence confirm", "silence confirm 1", "mute confirm #1"])
def test_the_second_yes_can_be_typed(office, typed):
    office.types("silence service=checkout 2h moving it")

    assert "Silence 1 holds for 2 h: service=checkout" in office.types(typed)


def test_another_text_is_asked_about_anew_and_a_late_yes_is_none(office):
    office.types("silence service=checkout 2h moving it")
    office.types("silence service=checkout 3h moving it")
    assert "Silence 2 holds for 3 h" in office.types("silence confirm")
    office.types("silence service=checkout 4h moving it")
    assert "Confirm it by its number" in office.types("silence confirm service=checkout 4h moving it")
    office.world.clock.advance(11 * 60)

    assert "more than 10 minutes ago" in office.types("silence confirm 3")


def test_the_same_request_that_slack_sends_twice_is_one_silence(office):
    body = office.command("silence service=search 2h x")
    office.sends(body)
    office.sends(body)

    assert [one.number for one, _ in office.store.silences(office.world.clock())] == [1]


def test_a_guest_sees_what_is_quiet_and_silences_nothing(office):
    assert "Guests of this workspace" in office.types("silence service=search 2h x", EVE)
    assert "No silence is in force" in office.types("silences", EVE)


@pytest.mark.parametrize("text", ["silence service=search 1m x", "silence service=search 30d x"])
def test_it_may_last_a_minute_or_a_month(office, text):
    assert "holds for" in office.types(text)


@pytest.mark.parametrize("text", ["silence service=search 59s x", "silence service=search 31d x", "silence service=search 999999w x"])
def test_and_neither_less_nor_more(office, text):
    assert "from 1 minute to 30 days" in office.types(text)


def test_what_still_fires_when_it_ends_is_told_and_taken(office):
    office.types("silence service=search 1h moving the index")
    fires(office)
    office.world.clock.advance(61 * 60)
    office.settle()

    message = next(one for one in office.messages("incidents") if one["text"].startswith("🔔 Silence 1 has expired."))
    assert "It kept 1 alert quiet. The last was “Checkout is slow”" in str(message["blocks"])
    assert "1 still fires" in str(message["blocks"])
    assert "Each is taken now" in str(message["blocks"])
    assert [block for block in message["blocks"] if block["type"] == "actions"] == []


def test_a_reason_names_people_and_calls_nobody_else(office):
    office.types(f"silence service=search 2h ask <@{BEN}|ben> &lt;!channel&gt;")

    (told,) = announced(office)
    assert f"ask <@{BEN}>" in told
    assert "<!channel>" not in told


def test_what_is_left_out_is_heard_and_the_rest_is_quiet(office):
    said = office.types("silence service=sea* severity=low|medium service!=search-eu 2h moving the index")
    assert said.startswith("Silence 1 holds for 2 h: service=sea*, severity=low|medium, service!=search-eu.")
    fires(office)
    fires(office, "EU is slow", service="search-eu")

    ((_, kept),) = office.store.silences(office.world.clock())
    assert (kept.alerts, kept.last_title) == (1, "Checkout is slow")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("service=serch", "No alert has come under a service serch so far, and the catalogue has none. Did you mean search?"),
        ("service=xyzzy*", "No alert has come under a service xyzzy* so far, and the catalogue has none."),
        ("service=search|serch", "No alert has come under a service serch so far"),
        ("service=frontend", ""), ("service=sea*", ""), ("service=orders-db", ""), ("service=re:serch", ""), ("title=x", ""),
    ],
)  # fmt: skip
def test_a_service_that_nobody_has_heard_of_is_silenced_with_a_hint(office, typed, hint):
    fires(office, service="orders-db")

    said = office.types(f"silence {typed} severity=low 2h x")

    assert said.startswith("Silence 1 holds for 2 h")
    assert ("so far" in said) is bool(hint)
    assert hint in said


def test_what_is_meant_as_it_stands_is_told_how_it_is_read(office):
    said = office.types('silence title="[FIRING:1] Disk*" service=search 2h x')
    assert said.startswith("Silence 1 holds for 2 h")
    assert said.endswith(" Only * and ? are wild in `[FIRING:1] Disk*`: all else is looked for as it stands.")

    assert office.types('silence title="Disk*" host!="db-[12]" severity=low 2h x').endswith(
        "in `db-[12]`: all else is looked for as it stands."
    )
    assert "are wild" not in office.types('silence title="Disk*" host=re:db-[12] severity=low 2h x')


def test_of_what_a_private_incident_is_about_no_hint_tells(office):
    office.types("declare sev2 a leak service:search --private")

    assert "No alert has come under a service vault so far" in office.types("silence service=vault severity=low 2h x")
