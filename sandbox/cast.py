"""Who lives in the sandbox, and where: people, channels, services and who is on call for them."""

from dataclasses import dataclass

TEAM = "T0FIRST01"
APP = "A0FIRST01"
BOT_USER = "U0BOT0001"
BOT = "B0BOT0001"
ZONE = "Europe/Lisbon"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in Slack; with `pager`, in PagerDuty too."""

    name: str
    slack_id: str
    real_name: str
    title: str
    role: str
    color: str
    pager: str = ""
    is_guest: bool = False

    @property
    def email(self) -> str:
        """Their address, the same in both."""
        return f"{self.name}@example.com"


CAST = (
    Person("ana", "U0ANA0001", "Ana Silva", "Engineer, on call this week", "on-call", "#2f7d5b", "PUANA01"),
    Person("ben", "U0BEN0001", "Ben Okafor", "Engineer, second level", "second level", "#b4532a", "PUBEN01"),
    Person("chloe", "U0CHLOE01", "Chloe Martin", "Engineering lead", "lead", "#5b4bb0", "PUCHLO1"),
    Person("dmitri", "U0DMITRI1", "Dmitri Volkov", "Customer support", "bystander", "#1f6f9e"),
    Person("eve", "U0EVE0001", "Eve Larsen", "Contractor", "guest", "#8a6d1a", is_guest=True),
)
BY_NAME = {one.name: one for one in CAST}
BY_ID = {one.slack_id: one for one in CAST}
BY_PAGER = {one.pager: one for one in CAST if one.pager}
CHANNELS = {
    "incidents": "Every incident, one line each",
    "firstfive-ops": "What Firstfive says about itself",
    "general": "Everybody",
    "team-checkout": "The people of checkout",
}
BOT_IN = ("incidents", "firstfive-ops")
SERVICES = ("checkout", "payments", "search", "web", "platform")
LEVELS = ("PUANA01", "PUBEN01", "PUCHLO1")
