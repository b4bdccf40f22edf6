"""By what a page is sent: a key of PAGERDUTY_KEYS, or an escalation policy. Both are one word, `pager`, on their way there."""

import re
from dataclasses import dataclass

PREFIX = "escalation_policy:"
ID = r"[A-Z0-9]{4,30}"


@dataclass(frozen=True, slots=True)
class ByPolicy:
    """An escalation policy of PagerDuty, and the service there that its incidents stand on; both are ids."""

    policy: str
    service: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.policy}@{self.service}"


def by_policy(pager: str | None) -> ByPolicy | None:
    """The escalation policy that `pager` names; None where it names a key."""
    found = re.fullmatch(rf"{PREFIX}({ID})@({ID})", pager or "")
    return ByPolicy(found[1], found[2]) if found else None
