"""PagerDuty's webhooks of version 3: the sandbox sends them in the vendor's shape, signed and numbered as the vendor does."""

import hmac
import json
from hashlib import sha256
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "pagerduty"
REAL = [json.loads(path.read_text())["event"] for path in CORPUS.glob("v3_*.json") if not path.name.endswith(".meta.json")]

TEXT, WHOLE = {"type": "string", "minLength": 1}, {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
URL = {"type": ["string", "null"], "pattern": "^https?://"}


def exactly(**properties):
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def reference(*kinds):
    return exactly(id=TEXT, type={"enum": [f"{kind}_reference" for kind in kinds]}, summary=TEXT, self=URL, html_url=URL)


def or_null(schema):
    return {"anyOf": [schema, {"type": "null"}]}


INCIDENT = exactly(
    id=TEXT, type={"const": "incident"}, self=URL, html_url=URL, number={"type": "integer"},
    status={"enum": ["triggered", "acknowledged", "resolved"]}, incident_key=TEXT, created_at=WHOLE, title=TEXT,
    service=reference("service"), assignees={"type": "array", "items": reference("user")},
    escalation_policy=reference("escalation_policy"), teams={"type": "array"}, priority={"type": "null"},
    urgency={"enum": ["high", "low"]}, conference_bridge={"type": "null"}, resolve_reason={"type": "null"},
)  # fmt: skip
NOTE = exactly(
    id=TEXT, type={"const": "incident_note"}, incident=reference("incident"), content=TEXT, trimmed={"type": "boolean"}
)  # fmt: skip
PING = exactly(message=TEXT, type={"const": "ping"})
DATA = {"pagey.ping": PING, "incident.annotated": NOTE} | {
    f"incident.{kind}": INCIDENT for kind in ("triggered", "acknowledged", "unacknowledged", "escalated", "resolved")
}


def envelope(event_type):
    return exactly(event=exactly(
        id={"type": "string", "pattern": "^[0-9A-Z]{26}$"}, event_type={"const": event_type},
        resource_type={"const": event_type.partition(".")[0]}, occurred_at=MOMENT,
        agent=or_null(reference("user", "service")), client={"type": "null"}, data=DATA[event_type],
    ))  # fmt: skip


@pytest.fixture(scope="module")
def sent(street):
    return [one for one in street.bot_door.exchanges if one.path == "/hooks/pagerduty/main"]


@pytest.mark.parametrize("event_type", DATA)
def test_each_kind_of_webhook_has_the_shape_that_pagerduty_gives_it(sent, event_type):
    bodies = [body for one in sent if (body := json.loads(one.body))["event"]["event_type"] == event_type]

    assert bodies
    check = Draft202012Validator(envelope(event_type))
    assert [f"{one.json_path}: {one.message}" for body in bodies for one in check.iter_errors(body)] == []


def test_every_webhook_is_signed_numbered_and_taken(sent):
    for one in sent:
        signature = hmac.new(b"sandbox-webhook-secret", one.body, sha256).hexdigest()
        assert one.headers["x-pagerduty-signature"] == f"v1={signature}"
        assert one.headers["user-agent"] == "PagerDuty-Webhook/V3.0"
        assert one.headers["x-webhook-subscription"]
        assert one.status == 202
    ids = [one.headers["x-webhook-id"] for one in sent]
    assert len(ids) == len(set(ids))


# --- beside real ones -------------------------------------------------------------------------


def kind_of(value):
    return {int: "number", float: "number"}.get(type(value), type(value).__name__)


def shapes(events):
    """For each kind of data: each field with the types that it has, and whether every one has it."""
    found = {}
    for data in (event["data"] for event in events if isinstance(event["data"], dict)):
        found.setdefault(data.get("type"), []).append(data)
    return {kind: {name: {kind_of(one.get(name)) for one in given} for one in given for name in one} for kind, given in found.items()}


@pytest.mark.skipif(not REAL, reason="the folder of real payloads is not beside this checkout")
@pytest.mark.parametrize("kind", ["incident", "incident_note"])
def test_a_webhook_of_the_sandbox_has_no_field_and_no_type_that_a_real_one_has_not(sent, kind):
    real, ours = shapes(REAL)[kind], shapes(json.loads(one.body)["event"] for one in sent)[kind]

    assert ours.keys() <= real.keys()
    assert {name: types for name, types in ours.items() if not types <= real[name]} == {}
    always = {name for name, types in real.items() if "NoneType" not in types}
    assert always <= ours.keys()
