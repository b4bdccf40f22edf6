"""The documents that are made from the code, so that they cannot drift: each as (path, text)."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from bot import commands
from bot.alerts.matching import LATE
from bot.alerts.registry import sources
from bot.alerts.source import limited_status
from bot.alerts.sources import generic
from bot.settings import Settings
from bot.slack import commands as slash
from bot.slack.manifest import manifest_text
from tests.alerts import test_corpus, tried
from tests.fuzz import runs

TOP = Path(__file__).parents[1]

HEADER = """\
# What the bot reads from its environment. Copy to .env and fill in what you have; everything else has a default.
# Any NAME may come as NAME_FILE instead: the path of a file that holds the value (for mounted secrets).
"""


TELLS_ORDER = (
    "alertmanager", "azure_monitor", "cloudevents", "cloudwatch", "datadog", "freshping", "gcp_monitoring", "generic", "github",
    "grafana", "healthchecks", "kibana", "nagios", "netdata", "newrelic", "opsgenie", "pingdom", "sentry", "site24x7", "sonarqube",
    "statuspage", "updown", "uptime_kuma", "uptimerobot", "vercel", "zabbix",
)  # fmt: skip
"""Sources whose senders say in every report of a change when that was."""
NEVER_AGAIN = {
    "github": "Within three days it can be asked to: `Recent Deliveries` of the webhook, `Redeliver`; or for all that failed, "
    "`gh api repos/OWNER/REPO/hooks/HOOK/deliveries` lists them and "
    "`gh api -X POST repos/OWNER/REPO/hooks/HOOK/deliveries/DELIVERY/attempts` sends one again.",
    "sonarqube": "It lists for 30 days what it sent (`Recent deliveries`), and sends nothing twice: the next analysis of the "
    "branch tells its quality gate anew.",
    "uptime_kuma": "Set `Resend Notification if Down` of each monitor to 1: what is down is told again with each check.",
    "nagios": "Set a `notification_interval`: what is down is told again. `curl --retry 5 --retry-all-errors` in the command tries "
    "five times.",
    "generic": "That is up to whoever sends: `curl --retry 5 --retry-all-errors` tries five times; with an `Idempotency-Key` the "
    "same is taken once.",
}
"""Sources whose senders do not try again by themselves, and how to make up for it."""


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated document, as it should be now."""
    yield TOP / ".env.example", env_example()
    yield TOP / "docs" / "command-line.md", commands.documented()
    yield TOP / "docs" / "slack-commands.md", slash.documented()
    yield TOP / "docs" / "sources.md", sources_page()
    yield TOP / "deploy" / "slack-manifest.yaml", manifest_text()


def env_example() -> str:
    """`.env.example`: each setting with its own words, in order."""
    parts = [HEADER]
    for name, field in Settings.model_fields.items():
        words = " ".join((field.description or "").split())
        parts.append(f"# {words}\n{_line(name, field.get_default(call_default_factory=True))}\n")
    return "\n".join(parts)


def sources_page() -> str:
    """docs/sources.md: each source with how to set it up."""
    parts = [
        "# Alert sources",
        "",
        "<!-- Made by `make docs` from the code; edit bot/alerts/sources/. -->",
        "",
        "Alerts come in at `POST /hooks/SOURCE/ROUTE`. A route is a name of your choice with a secret of its own in "
        "`HOOK_SECRETS` (`SOURCE/ROUTE=SECRET`; `OLD,NEW` while one is being replaced); one without a secret takes nothing. "
        "A delivery is verified over its raw bytes and committed before it is answered: 202 taken, 400 cannot be read, "
        "401 not signed, 404 no such route, 413 larger than 5 MB, 503 try again; beyond a limit of the policy, what its sender takes "
        "for that, with `Retry-After`. `python -m bot explain SOURCE FILE` says "
        "what a payload means; `python -m bot send SOURCE` posts an example, signed.",
        "",
        "What a sender leaves out is filled in and named (`defaults` in `explain --json`). Another package may bring a "
        "source under the entry point group `firstfive.sources`; see [add an alert source](how-to/add-an-alert-source.md).",
    ]
    parts += [
        "", "## Tried with real payloads", "",
        "Captured from their senders, or published by them, and sent to the real way in: none ends in an error of ours, none without "
        "its proof is taken. Passed is what is read as its sender means it: how many alerts, their status and their severity. "
        "What a sender signed is also sent as it came, with the secret that it was signed with, and not taken once a byte of "
        "it is another.", "", _tried(), "", "Read otherwise than is noted beside them, each for a reason:", "", *tried.otherwise(),
    ]  # fmt: skip
    parts += [
        "", "## Tried with bodies that nobody would send", "",
        "`make fuzz` sends each source what its sender would send with something wrong in it, correctly signed: never an error of "
        "ours, never a second of the processor, never fifty megabytes, never a socket to anybody but Amazon "
        "([who makes them up](decisions/0014-who-makes-up-hostile-bodies.md)). The same seed draws the same ones.", "", runs.table(),
    ]  # fmt: skip
    parts += ["", "## What overtakes on its way", "", *_order()]
    parts += [
        "", "## What is only information", "",
        "Some senders tell of what neither fires nor is over: an alarm of CloudWatch without data (INSUFFICIENT_DATA), a monitor "
        "that is paused, a pending alert of Grafana 8. Such an alert has the status `info`: it is recorded, shown to nobody and "
        "pages nobody, and an incident that it belongs to stays as it is. A route that asks for that status may do more:", "",
        "```yaml",
        "routes:",
        "  - name: blind where it matters           # as if it fired, until its sender says that it is well",
        "    match: {service: checkout, status: info, no_data: true}",
        "    severity: SEV2",
        "    fires: true",
        "  - name: alarms that have gone blind      # announced, and again after grouping.announce_again",
        "    match: {source: cloudwatch, status: info, no_data: true}",
        "    outcome: announce",
        "```", "",
        "`fires` holds for what its sender calls information, whatever the route matches. `python -m bot explain` calls such an "
        "alert `info, taken as firing`.",
    ]  # fmt: skip
    titles = ", ".join(sources()[name].title for name in NEVER_AGAIN)
    parts += [
        "", "## Who does not try again", "",
        f"{titles}: what is refused for now (429 beyond a limit, 503 while the database is away), or comes while nobody "
        "answers, does not come again by itself. Each of them says below how to make up for it. Set no limit for them, and let a "
        "second `web` process answer while one is restarted.",
    ]  # fmt: skip
    for source in sources().values():
        setup = source.setup.format(url=f"https://bot.example.com/hooks/{source.name}/main", secret="SECRET").rstrip()
        about = " ".join((type(source).__doc__ or "").split())
        names = ", ".join(f"`{one.name}`" for one in source.examples)
        parts += ["", f"## {source.title} (`{source.name}`)", "", about, "", "```text", setup, "```"]
        parts += ["", f"Told where it sends more than a limit of the policy: {limited_status(source)}."]
        if source.name in NEVER_AGAIN:
            parts += ["", f"**It does not try again** what is answered with 429 or 503, or not at all. {NEVER_AGAIN[source.name]}"]
        parts += ["", f"Examples for `bot send {source.name} --example …`: {names}."]
    parts += ["", "## The generic schema", "", "```text", (generic.__doc__ or "").strip(), "```", "",
              "Names that are taken without a mapping: " + "; ".join(
                  f"{field}: {', '.join(names)}" for field, names in generic.NAMES.items()) + ".",
              "", "Of a change, too: " + "; ".join(
                  f"{field}: {', '.join(names)}" for field, names in generic.OF_A_CHANGE.items()) + ". Of a flag and a configuration "
              f"`dedup_key` is one of {', '.join(generic.OF_A_SWITCH['dedup_key'])}, and `ref` one of "
              f"{', '.join(generic.OF_A_SWITCH['ref'])}."]  # fmt: skip
    return "\n".join(parts) + "\n"


def _order() -> Iterator[str]:
    """What holds where deliveries come in another order than they were sent in."""
    titles = [sources()[name].title for name in TELLS_ORDER]
    yield (
        "Deliveries of a route are read in the order in which they came in. A sender that tries again may come in after its own "
        f"later news. {', '.join(titles[:-1])} and {titles[-1]} say when a thing changed: what fired before an end that is known "
        "fires no more, and an end from before it fired again ends nothing. What fires, since when, and who acknowledged when is "
        "then the same as in order. Two things are not: an alert of which the end is heard first pages nobody, and what was over "
        "before it was heard of is not on the timeline."
    )
    yield ""
    yield (
        f"- **{titles[0]}, {sources()['grafana'].title}**: give an old start once more where Prometheus could not be reached for a "
        f"while. So theirs counts as late only within {LATE.total_seconds():g} s after the end came; both of a pair send within "
        "that, and one that fires again comes later."
    )
    yield ("- **Datadog**: with our payload, or any that has `date` in it; not its incidents, which have no time of their own.")
    yield (
        "- **Sentry**: an issue that is unresolved again has no time of that, and counts as it comes. The time of a resolve is when "
        "it was sent: one that Sentry sends again after the issue came back ends it."
    )
    yield (
        "- **CloudEvents**: with a `time`. **Generic JSON**: with `changed_at` in every report. **GitHub**: not a finding that is "
        "open again and says no time of that; a deployment that failed is never late, for the one that succeeded may be of another "
        "service of the repository. **Healthchecks, Kibana, Nagios, UptimeRobot**: with our payload, of Kibana with `alert_id` in "
        "it. **Netdata**: not whether a node can be reached, nor what fires by Netdata Cloud without its node. **SonarQube**: with "
        "`changedAt`, for an analysis may be dated back. **Uptime Kuma**: not a text alone."
    )
    yield (
        "- **Azure Monitor**: not news of health, whose trouble and end have the times of two clocks, nor log alerts of version 1, "
        "which never end. **New Relic**: not its old channel, which tells only when it sent something, and no payload without "
        "`updatedAt`. **Opsgenie**: with `updatedAt`, as it sends it. **Zabbix**: with our parameters of a Zabbix that knows "
        "`{EVENT.TIMESTAMP}`, or with `event_utc_offset`; not a problem that somebody closes, which has no time until it recovers."
    )
    yield (
        "- **Statuspage**: a vendor's incident that is opened again keeps the start that it had: an end from before that, sent "
        "again, ends it."
    )
    yield "- **All others** are taken as they come: what comes last counts. To send the same once more changes nothing."


def _tried() -> str:
    """The table of real payloads; where their folder is not beside the checkout, as it stands."""
    if test_corpus.FILES:
        return tried.table(tried.passed())
    known = (TOP / "docs" / "sources.md").read_text(encoding="utf-8").splitlines()
    start = next(index for index, line in enumerate(known) if line.startswith("| source |"))
    end = next(index for index in range(start, len(known)) if not known[index].startswith("|"))
    return "\n".join(known[start:end])


def _line(name: str, default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default in ("", None, PydanticUndefined) or default == {}:
        return f"#{name.upper()}="
    return f"#{name.upper()}={default}"
