"""Learning who is in Slack: so that a name in PagerDuty becomes a face, and a guest is known as one."""

from datetime import datetime

from bot.errors import GaveUp, TryLater
from bot.slack.client import Slack
from bot.store import Store
from bot.store.people import Person


def sync_people(slack: Slack, store: Store, now: datetime) -> int:
    """Read everybody, and remember them. How many; 0 where Slack did not answer, which is tried again later."""
    if not slack.has_token:
        return 0
    found: list[Person] = []
    cursor = ""
    try:
        while True:
            answer = slack.call("users.list", limit=200, cursor=cursor or None)
            found += [_person(one) for one in answer.get("members", [])]
            cursor = answer.get("response_metadata", {}).get("next_cursor", "")
            if not cursor:
                break
    except (TryLater, GaveUp):
        return 0
    store.remember_people(found, now)
    return len(found)


def _person(user: dict[str, object]) -> Person:
    profile = user.get("profile")
    profile = profile if isinstance(profile, dict) else {}
    return Person(
        slack_id=str(user["id"]),
        name=str(user.get("name") or ""),
        real_name=str(user.get("real_name") or profile.get("real_name") or ""),
        email=str(profile.get("email") or "").lower(),
        zone=str(user.get("tz") or ""),
        is_guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
        is_bot=bool(user.get("is_bot")),
        is_deleted=bool(user.get("deleted")),
    )
