"""What the environment says, read once: names, addresses and secrets. `.env.example` documents each."""

import errno
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict


def pairs(text: object) -> object:
    """`a=1 b=2` (blanks or line ends between) as a map. Raises ValueError with the odd part's place, not its text."""
    if not isinstance(text, str):
        return text
    found: dict[str, str] = {}
    for number, part in enumerate(text.split(), start=1):
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise ValueError(f"part {number} is not NAME=VALUE")
        if name in found:
            raise ValueError(f"part {number} names what an earlier part names; leave one out")
        found[name] = value
    return found


def database_address(secret: SecretStr) -> SecretStr:
    """Raises ValueError for what is no address of a database that we know, without a word of it: it holds a password."""
    scheme, _, rest = secret.get_secret_value().partition("://")
    if scheme not in ("sqlite", "postgresql+psycopg"):
        raise ValueError("expected sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME")
    host = rest.partition("?")[0].rpartition("@")[2].partition("/")[0]
    if scheme != "sqlite" and not re.fullmatch(r"(\[[^]]*\]|[^:]*)(:\d*)?", host):
        raise ValueError("expected a number for the port after the host")
    return secret


def web_address(secret: SecretStr) -> SecretStr:
    """Raises ValueError for what is neither http:// nor https://, without a word of it: who knows it can keep us silent."""
    found = secret.get_secret_value()
    if found and not re.fullmatch(r"https?://[^\s/?#]+\S*", found):
        raise ValueError("expected http://… or https://…")
    return secret


Pairs = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(pairs)]


class Settings(BaseSettings):
    """Built once, in `wiring.py`, and handed down. Any NAME may come as NAME_FILE instead: the path of a file that holds it."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True, use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )  # fmt: skip

    database_url: Annotated[SecretStr, AfterValidator(database_address)] = SecretStr("sqlite:///firstfive.db")
    """Where the record is: sqlite:///FILE, or postgresql+psycopg://USER:PASSWORD@HOST/NAME."""
    host: str = "0.0.0.0"
    """The address to listen on."""
    port: int = Field(default=8080, ge=0, le=65535)
    """The port to listen on."""
    public_url: str = "http://localhost:8080"
    """How senders reach this bot from outside; used in set-up snippets and links."""

    policy_file: Path = Path("policy.yaml")
    """The team's choices."""
    runbooks_dir: Path = Path("runbooks")
    """The folder of runbooks."""
    templates_dir: Path = Path("postmortem_templates")
    """The folder of post-mortem templates."""

    hook_secrets: Pairs = Field(default_factory=dict)
    """Who may send alerts: SOURCE/ROUTE=SECRET, several parted by blanks; SECRET,SECRET while one is being replaced."""

    slack_bot_token: SecretStr = SecretStr("")
    """The bot token (xoxb-…) of your Slack app."""
    slack_signing_secret: SecretStr = SecretStr("")
    """The signing secret of your Slack app; needed over HTTP."""
    slack_app_token: SecretStr = SecretStr("")
    """An app-level token (xapp-…): set it to use Socket Mode instead of HTTP."""
    slack_api_url: str = "https://slack.com/api/"
    """Where Slack's Web API is."""
    slack_command: str = Field(default="/incident", pattern=r"^/[a-z0-9_-]{1,31}$")
    """The slash command, as your Slack app declares it."""

    pagerduty_keys: Pairs = Field(default_factory=dict)
    """Events API v2 routing keys: NAME=KEY, several parted by blanks. `default` serves the names without a key."""
    pagerduty_api_token: SecretStr = SecretStr("")
    """A REST API token: who is on call, escalation, acknowledging in a person's name, and the poll."""
    pagerduty_from: str = ""
    """The e-mail of the PagerDuty user that the bot acts as where a person's own is not known."""
    pagerduty_api_url: str = "https://api.pagerduty.com"
    """Where PagerDuty's REST API is."""
    pagerduty_events_url: str = "https://events.pagerduty.com"
    """Where PagerDuty's Events API v2 is."""
    pager_poll_seconds: int = Field(default=30, ge=5, le=60)
    """How often open pages are looked up, for what no webhook told."""

    lease_seconds: int = Field(default=10, ge=2, le=120)
    """How long a worker may give no sign of life before others take over what it had in hand."""
    audit_seconds: int = Field(default=60, ge=3, le=60)
    """How often the bot looks whether all of it works, and how late an effect may be before that counts as trouble."""
    heartbeat_url: Annotated[SecretStr, AfterValidator(web_address)] = SecretStr("")
    """An address outside (https://…) that is asked for after each such look that found nothing wrong; it tells you of silence."""
    keep_days: int = Field(default=30, ge=1)
    """How long handled deliveries are kept. Incidents and their timelines stay."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much to log."""
    log_format: Literal["console", "json"] = "console"
    """For people, or for a log collector."""

    def sqlite_file(self) -> Path | None:
        """The file of an embedded database; None for any other."""
        scheme, _, rest = self.database_url.get_secret_value().partition("://")
        name = rest.partition("?")[0].removeprefix("/")
        return Path(name) if scheme == "sqlite" and name and not name.startswith((":", "file:")) else None

    def secrets_of(self, source: str, route: str) -> tuple[str, ...]:
        """Every secret that may sign for this endpoint; empty where it does not exist."""
        secret = self.hook_secrets.get(f"{source}/{route}")
        return tuple(part for part in secret.get_secret_value().split(",") if part) if secret else ()

    def addresses_of(self, source: str) -> tuple[str, ...]:
        """Where the deliveries of a source come in, as its sender knows it: one address for each of its routes."""
        routes = [name for name in self.hook_secrets if name.startswith(f"{source}/")]
        return tuple(f"{self.public_url.rstrip('/')}/hooks/{name}" for name in sorted(routes))

    def pager_key(self, name: str) -> str:
        """The routing key of that name, else the default one; empty where there is neither."""
        secret = self.pagerduty_keys.get(name) or self.pagerduty_keys.get("default")
        return secret.get_secret_value() if secret else ""


def load(environment: Mapping[str, str], **given: Any) -> Settings:
    """Settings from the process's environment, with NAME_FILE read for every NAME. Raises ValueError or OSError.

    A file that is named and gives nothing is an error: a secret that silently falls back to nothing is found at 03:00.
    """
    written = DotEnvSettingsSource(Settings).env_vars
    from_files = {}
    for name in Settings.model_fields:
        path = environment.get(f"{name.upper()}_FILE")
        if not path and not environment.get(name.upper()):
            path = written.get(f"{name}_file")
        if path:
            from_files[name] = _held(path)
    values: dict[str, Any] = {**from_files, **given}
    return Settings(**values)


def misspelt() -> dict[str, str]:
    """Names in .env that are no setting but look like one: each with the one that was probably meant."""
    ours = {name for field in Settings.model_fields for name in (field, f"{field}_file")}
    strange = [name.lower() for name in DotEnvSettingsSource(Settings).env_vars if name.lower() not in ours]
    near = {name: get_close_matches(name, ours, n=1, cutoff=0.85) for name in strange}
    return {name.upper(): found[0].upper() for name, found in near.items() if found}


def _held(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise OSError(errno.EINVAL, "is not UTF-8 text", path) from None
    if not text:
        raise OSError(errno.EINVAL, "is empty", path)
    return text
