"""The timeline: what happened, in entries that never change. Post-mortems and metrics are folds of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    `at` is when it happened by its source's clock (UTC), not when we wrote it down. `incident` is "INC-7".
    `type` and `fields` are those of the journal (`docs/journal.md`); a type nobody knows is kept and shown as it is.
    `by` is a person (Slack user id, or a name where there is no Slack user) or "bot".
    """

    at: datetime
    type: str
    incident: str
    by: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The journal's form: one flat object, times as RFC 3339 in UTC."""
        flat: dict[str, Any] = {"at": rfc3339(self.at), "type": self.type, "incident": self.incident}
        if self.by is not None:
            flat["by"] = self.by
        for key, value in self.fields.items():
            flat[key] = rfc3339(value) if isinstance(value, datetime) else value
        return flat


def in_order(recorded: Iterable[Entry]) -> tuple[Entry, ...]:
    """Entries by when they happened; those of one second as they were recorded.

    PagerDuty tells whole seconds and we tell parts of them: sorted by both, somebody is notified before they are paged.
    """
    return tuple(sorted(recorded, key=lambda one: one.at.replace(microsecond=0)))


COMMANDERS = frozenset({"commander", "incident commander", "incident_commander", "ic", "lead"})


def acknowledges(entry: Entry) -> bool:
    """Whether a person showed with this that they are on it: by saying so, by taking command, or by ending it.

    The definition is that of docs/metrics.md; what the bot or an automation does is never an acknowledgement.
    """
    if entry.by in (None, "bot"):
        return False
    match entry.type:
        case "ack" | "cancelled":
            return True
        case "resolved":
            return not entry.fields.get("auto")
        case "role":
            return str(entry.fields.get("role", "")).lower() in COMMANDERS and entry.fields.get("user") == entry.by
        case "status_changed":
            return entry.fields.get("to") in ("cancelled", "false_positive")
        case _:
            return False


def rfc3339(moment: datetime) -> str:
    """UTC with a trailing Z; fractions only where there are any."""
    text = moment.astimezone(UTC).isoformat()
    return text.replace("+00:00", "Z")
