"""The forms: few fields, each with a hint, none that one has to fill in at 03:00 without need."""

import json
from collections.abc import Mapping
from typing import Any

from bot.incidents.incident import Incident, Role, Severity, Status
from bot.incidents.policy import Policy
from bot.slack import ids
from bot.slack.views.blocks import View, choice, field, form, option, person_select, select, text_input

MOVES = (Status.INVESTIGATING, Status.IDENTIFIED, Status.MONITORING)


def metadata_of(view: Mapping[str, Any]) -> dict[str, Any]:
    """What a form carries; empty where it carries nothing readable."""
    try:
        given = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def incident_of(view: Mapping[str, Any]) -> int:
    """The number of the incident that a form is about; 0, which none has, where it names none."""
    number = metadata_of(view).get("incident")
    return number if isinstance(number, int) else 0


def value_of(view: Mapping[str, Any], name: str) -> str:
    """What was filled into a field, whatever kind it is; empty where nothing was."""
    filled = view.get("state", {}).get("values", {}).get(name, {}).get(name, {})
    chosen = filled.get("selected_option") or {}
    found = filled.get("value") or chosen.get("value") or filled.get("selected_user")
    if filled.get("selected_options"):
        found = filled["selected_options"][0]["value"]
    return str(found or "").strip()


def declare(policy: Policy, title: str = "", service: str | None = None, fingerprint: str = "") -> View:
    """Open an incident."""
    severities = [option(one.value, one.value, policy.rule(one).means) for one in Severity]
    services = [option(known.title or name, name) for name, known in sorted(policy.services.items())]
    return form(
        ids.DECLARE_FORM,
        "Declare an incident",
        "Declare",
        [
            field("What is broken?", text_input(ids.TITLE, initial=title, limit=200,
                  placeholder="Checkout is slow for everybody"), hint="The symptom, as a user would say it."),
            field("How bad is it?", choice(ids.SEVERITY_FIELD, severities, "SEV2"), hint="Unsure? Take the higher one."),
            field("Which service?", select(ids.SERVICE, services, "Choose a service", service), optional=True)
            if services else None,
            field("Anything else?", text_input(ids.DETAILS, lines=True), optional=True),
            field("Who may see it?", {"type": "checkboxes", "action_id": ids.PRIVATE, "options": [
                  option("Private: a private channel, announced nowhere", "private")]}, optional=True),
        ],
        {"fingerprint": fingerprint},
    )  # fmt: skip


def update(incident: Incident, policy: Policy) -> View:
    """Tell everybody where it stands."""
    every = policy.rule(incident.severity).update_every
    usual = int(every.total_seconds() // 60) if every else 0
    spans = [option(f"in {minutes} min", str(minutes)) for minutes in (10, 15, 20, 30, 60, 120)]
    return form(
        ids.UPDATE_FORM, f"Update {incident.ref}", "Post",
        [
            field("Where does it stand?", text_input(ids.TEXT, lines=True,
                  placeholder="Condition, what we do, what we need")),
            field("When is the next update?", select(ids.NEXT, spans, "Choose", str(usual)), optional=True,
                  hint="A promise: everybody is reminded of it."),
        ],
        {"incident": incident.number},
    )  # fmt: skip


def note(incident: Incident) -> View:
    """A line on the timeline."""
    text = field("What happened, or what do you see?", text_input(ids.TEXT, lines=True))
    return form(ids.NOTE_FORM, f"Note on {incident.ref}", "Note it", [text], {"incident": incident.number})


def role(incident: Incident) -> View:
    """Give somebody a role."""
    roles = [option(one.value.capitalize(), one.value) for one in Role]
    return form(
        ids.ROLE_FORM, f"Roles of {incident.ref}", "Give",
        [
            field("Role", select(ids.ROLE, roles, "Choose a role", Role.COMMANDER.value)),
            field("Who", person_select(ids.PERSON, "Choose a person")),
        ],
        {"incident": incident.number},
    )  # fmt: skip


def severity(incident: Incident, policy: Policy) -> View:
    """Grade it anew."""
    options = [option(one.value, one.value, policy.rule(one).means) for one in Severity]
    chosen = field("Severity", choice(ids.SEVERITY_FIELD, options, incident.severity.value))
    return form(ids.SEVERITY_FORM, f"Severity of {incident.ref}", "Change", [chosen], {"incident": incident.number})


def status(incident: Incident) -> View:
    """Move it on."""
    options = [option(one.value.capitalize(), one.value) for one in MOVES if one is not incident.status]
    return form(
        ids.STATUS_FORM, f"Status of {incident.ref}", "Move",
        [
            field("Status", choice(ids.STATUS_FIELD, options, options[0]["value"])),
            field("Why?", text_input(ids.TEXT, lines=True), optional=True),
        ],
        {"incident": incident.number},
    )  # fmt: skip


def resolve(incident: Incident) -> View:
    """It is over."""
    text = field("What ended it?", text_input(ids.TEXT, lines=True), optional=True, hint="For the timeline and the draft.")
    return form(ids.RESOLVE_FORM, f"Resolve {incident.ref}", "Resolve", [text], {"incident": incident.number})


def merge(incident: Incident) -> View:
    """Two incidents that are one."""
    into = field("Into which incident?", text_input(ids.INTO, placeholder="INC-7", limit=20))
    return form(ids.MERGE_FORM, f"Merge {incident.ref}", "Merge", [into], {"incident": incident.number})


def split(incident: Incident) -> View:
    """Take an alert out of it."""
    firing = sorted(incident.alerts, key=lambda one: (not one.is_firing, one.started_at))
    alerts = [option(one.title if one.is_firing else f"{one.title} (cleared)", one.fingerprint) for one in firing]
    return form(
        ids.SPLIT_FORM, f"Split {incident.ref}", "Take it out",
        [
            field("Which alert is not of this incident?", select(ids.ALERT, alerts, "Choose an alert"),
                  hint="It gets an incident of its own, with a page by its severity."),
            field("Why?", text_input(ids.TEXT, lines=True), optional=True, hint="For both timelines."),
        ],
        {"incident": incident.number},
    )  # fmt: skip


def page(incident: Incident, policy: Policy) -> View:
    """Ask for one more person, or another service's on-call."""
    services = [option(known.title or name, name) for name, known in sorted(policy.services.items())]
    return form(
        ids.PAGE_FORM, f"Page for {incident.ref}", "Ask PagerDuty",
        [
            field("A person", person_select(ids.PERSON, "Choose a person"), optional=True),
            field("or a service's on-call", select(ids.SERVICE, services, "Choose a service"), optional=True)
            if services else None,
        ],
        {"incident": incident.number},
    )  # fmt: skip
