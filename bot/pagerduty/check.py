"""What `bot check` asks PagerDuty: whether the token works, who the bot acts as, whether every key is one."""

from collections.abc import Iterator, Mapping, Sequence

from bot.errors import GaveUp, TryLater
from bot.findings import Finding
from bot.incidents.pagers import ByPolicy, by_policy
from bot.pagerduty.client import MEND_FROM, MEND_KEY, MEND_POLICY, MEND_TOKEN, Client
from bot.pagerduty.reports import Reports

NOBODYS = "firstfive-check"
"""No page has this key."""


def check(client: Client, reports: Reports, keys: Mapping[str, str], wanted: set[str]) -> list[Finding]:
    """One finding for each thing. `wanted` is by what the policy pages. Wakes nobody."""
    policies = [one for name in sorted(wanted) if (one := by_policy(name)) is not None]
    found = _keys(client, keys, {name for name in wanted if by_policy(name) is None})
    if not client.has_token:
        why = "no REST token: paging works; who was notified, escalation and the poll do not"
        if policies:
            why = f"no REST token: the escalation policies that the policy names page nobody ({_named(policies)})"
        return [*found, Finding("PagerDuty REST", False, why, MEND_TOKEN)]
    try:
        client.get("/abilities", "what the account may do")
        own = reports.own_id()
    except (TryLater, GaveUp) as error:
        mend = error.mend or "try again; if it goes on, look at status.pagerduty.com"
        return [*found, Finding("PagerDuty REST", False, error.reason, mend)]
    found.append(Finding("PagerDuty REST", True, "the token works"))
    if own is None:
        said = f"PAGERDUTY_FROM ({client.from_email or 'not set'}) is no user of the account"
        if policies:
            said = f"{said}: the escalation policies that the policy names page nobody ({_named(policies)})"
        found.append(Finding("PagerDuty user", False, said, "set PAGERDUTY_FROM to a PagerDuty user's e-mail address"))
    else:
        found.append(Finding("PagerDuty user", True, f"acts as {client.from_email}"))
    return [*found, *(finding for one in policies for finding in _policy(client, one, own))]


def _named(policies: Sequence[ByPolicy]) -> str:
    return ", ".join(one.policy for one in policies)


def _policy(client: Client, by: ByPolicy, own: str | None) -> Iterator[Finding]:
    """Whether PagerDuty knows both, and wakes somebody else than the bot itself."""
    subject = f"PagerDuty escalation policy {by.policy}"
    try:
        client.get(f"/escalation_policies/{by.policy}", f"the escalation policy {by.policy}")
        client.get(f"/services/{by.service}", f"the service {by.service}")
        params = {"escalation_policy_ids[]": [by.policy], "earliest": "true"}
        answer = client.get("/oncalls", f"who is on call by {by.policy}", **params)
    except (TryLater, GaveUp) as error:
        yield Finding(subject, False, error.reason, error.mend or MEND_POLICY)
        return
    users = [(one.get("user") or {}).get("id") for one in answer.get("oncalls") or []]
    if not users:
        yield Finding(subject, False, "nobody is on call there: PagerDuty refuses its pages", "put somebody on call there")
    elif own in users:
        said = f"{client.from_email} is on call there: what the bot opens for itself is acknowledged from the start, and wakes nobody"
        yield Finding(subject, False, said, MEND_FROM)
    else:
        yield Finding(subject, True, f"pages for the service {by.service}")


def _keys(client: Client, keys: Mapping[str, str], wanted: set[str]) -> list[Finding]:
    if not keys:
        return [Finding("PagerDuty keys", False, "no key is set: nobody can be paged", MEND_KEY)]
    odd = sorted(name for name, key in keys.items() if len(key) != 32)
    missing = sorted(wanted - set(keys)) if "default" not in keys else []
    found = [Finding("PagerDuty keys", False, f"{name} is not 32 characters long", MEND_KEY) for name in odd]
    found += [Finding("PagerDuty keys", False, f"the policy names {name}, there is no such key", MEND_KEY)
              for name in missing]  # fmt: skip
    found += _refused(client, {name: key for name, key in keys.items() if name not in odd})
    return found or [Finding("PagerDuty keys", True, f"{len(keys)} work: {', '.join(sorted(keys))}")]


def _refused(client: Client, keys: Mapping[str, str]) -> Iterator[Finding]:
    """Every key that PagerDuty does not take. What it is sent resolves an alert that there is not: it drops that."""
    for name, key in sorted(keys.items()):
        try:
            client.enqueue(key, {"event_action": "resolve", "dedup_key": NOBODYS}, f"the key {name}")
        except TryLater as error:
            mend = "is PAGERDUTY_EVENTS_URL right, and can this machine reach it? status.pagerduty.com says how it is"
            yield Finding("PagerDuty keys", False, error.reason, error.mend or mend)
            if not error.mend:
                return
        except GaveUp as error:
            yield Finding("PagerDuty keys", False, error.reason, MEND_KEY)
