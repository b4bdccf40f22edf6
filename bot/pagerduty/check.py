"""What `bot check` asks PagerDuty: whether the token works, who the bot acts as, whether every key is one."""

from collections.abc import Iterator, Mapping

from bot.errors import GaveUp, TryLater
from bot.findings import Finding
from bot.pagerduty.client import MEND_KEY, MEND_TOKEN, Client
from bot.pagerduty.reports import Reports

NOBODYS = "firstfive-check"
"""No page has this key."""


def check(client: Client, reports: Reports, keys: Mapping[str, str], wanted: set[str]) -> list[Finding]:
    """One finding for each thing. `wanted` are the names of keys that the policy uses. Wakes nobody."""
    found = _keys(client, keys, wanted)
    if not client.has_token:
        why = "no REST token: paging works; who was notified, escalation and the poll do not"
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
        found.append(Finding("PagerDuty user", False, said, "set PAGERDUTY_FROM to a PagerDuty user's e-mail address"))
    else:
        found.append(Finding("PagerDuty user", True, f"acts as {client.from_email}"))
    return found


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
