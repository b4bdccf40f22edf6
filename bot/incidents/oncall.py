"""Who is on call, as PagerDuty said when it was last asked. Values only."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody's turn at one level: a Slack user id, or a name where Slack does not know them; `until` None for always."""

    level: int
    person: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rota:
    """One escalation policy of PagerDuty's, by level."""

    id: str
    name: str
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class OnCall:
    """Every escalation policy, as it was at `at`. What is not in it is not known, which is not the same as nobody."""

    at: datetime
    rotas: tuple[Rota, ...] = ()

    def rota(self, id_: str | None) -> Rota | None:
        """The escalation policy of that id; the only one, where there is but one."""
        if len(self.rotas) == 1:
            return self.rotas[0]
        return next((one for one in self.rotas if one.id == id_), None)
