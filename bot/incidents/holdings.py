"""What an incident holds, where that is more than stands in its own value."""

from dataclasses import dataclass
from datetime import datetime

from bot.incidents.incident import Severity


@dataclass(frozen=True, slots=True)
class HeldAlert:
    """One alert of an incident, as the record has it. `reports` counts every word of it, `fires` how often it began anew."""

    title: str
    service: str | None
    severity: Severity | None
    is_firing: bool
    started_at: datetime
    fires: int
    reports: int


@dataclass(frozen=True, slots=True)
class Share:
    """How many of an incident's alerts are of one severity and service, and how many of them fire."""

    severity: Severity | None
    service: str | None
    count: int
    firing: int
