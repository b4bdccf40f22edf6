"""What `bot check` asks Slack: whether the tokens work, which scopes are missing, whether the channels are there."""

from collections.abc import Iterator
from http.client import HTTPException

from pydantic import SecretStr
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.errors import GaveUp, TryLater
from bot.findings import Finding
from bot.incidents.policy import Policy
from bot.slack.client import MEND_TOKEN, Slack
from bot.slack.manifest import SCOPES

MEND_APP_TOKEN = "make an app-level token with connections:write (Basic Information), and set SLACK_APP_TOKEN to it"
MEND_BOT_TOKEN = "set SLACK_BOT_TOKEN to the Bot User OAuth Token (xoxb-…) under OAuth & Permissions"
MEND_AWAY = "is SLACK_API_URL right, and can this machine reach it? status.slack.com says how Slack is"


def check(slack: Slack, policy: Policy) -> list[Finding]:
    """One finding for each thing. Posts nothing."""
    if not slack.has_token:
        return [Finding("Slack token", False, "SLACK_BOT_TOKEN is not set", MEND_BOT_TOKEN)]
    try:
        answer = slack.web.api_call("auth.test")
    except (SlackClientError, HTTPException, OSError) as error:
        return [_refused("Slack token", error, MEND_TOKEN)]
    if not answer.get("bot_id"):
        return [Finding("Slack token", False, f"is {answer.get('user')}'s own, not a bot's", MEND_BOT_TOKEN)]
    headers = {name.lower(): value for name, value in answer.headers.items()}
    found = [Finding("Slack token", True, f"works, as {answer.get('user')} in {answer.get('team')}")]
    found.append(_scopes({one.strip() for one in headers.get("x-oauth-scopes", "").split(",")}))
    theirs = (one.channel for one in policy.services.values() if one.channel)
    wanted = dict.fromkeys((policy.channels.announce, policy.channels.operations, policy.channels.digest, *theirs))
    try:
        there = set(_channels(slack))
    except (TryLater, GaveUp) as error:
        mend = "wait a minute, then check again" if isinstance(error, TryLater) and error.after else MEND_AWAY
        return [*found, Finding("Slack channels", False, error.reason, error.mend or mend)]
    return found + [_channel(name, there) for name in wanted]


def check_socket(slack: Slack, app_token: SecretStr) -> Finding:
    """Whether Socket Mode would come about. Opens nothing: Slack gives an address, which nobody connects to."""
    try:
        slack.web.apps_connections_open(app_token=app_token.get_secret_value())
    except (SlackClientError, HTTPException, OSError) as error:
        return _refused("Slack Socket Mode", error, MEND_APP_TOKEN)
    return Finding("Slack Socket Mode", True, "the app token works")


def _refused(subject: str, error: Exception, mend: str) -> Finding:
    """In Slack's own word, where it said one. Whatever else is in the answer stays out: it may be long."""
    if isinstance(error, SlackApiError):
        word = error.response.get("error") if isinstance(error.response.data, dict) else None
        if word:
            return Finding(subject, False, f"Slack does not take it: {word}", mend)
        return Finding(subject, False, f"Slack answers {error.response.status_code}", MEND_AWAY)
    return Finding(subject, False, f"Slack does not answer ({type(error).__name__})", MEND_AWAY)


def _scopes(given: set[str]) -> Finding:
    missing = [f"{scope} ({use})" for scope, use in SCOPES.items() if scope not in given]
    if not missing:
        return Finding("Slack scopes", True, f"all {len(SCOPES)} are there")
    mend = "add them under OAuth & Permissions, then reinstall the app; `python -m bot manifest` has them all"
    return Finding("Slack scopes", False, f"missing: {', '.join(missing)}", mend)


def _channels(slack: Slack) -> Iterator[str]:
    """Names and ids of the channels the bot is in: more than one page of them, a year and many incidents later."""
    cursor: str | None = None
    while True:
        answer = slack.call(
            "users.conversations", types="public_channel,private_channel", exclude_archived=True, limit=999, cursor=cursor
        )
        for one in answer.get("channels", []):
            yield from (str(one["name"]), str(one["id"]))
        cursor = (answer.get("response_metadata") or {}).get("next_cursor") or None
        if cursor is None:
            return


def _channel(name: str, there: set[str]) -> Finding:
    if name in there:
        return Finding(f"Slack channel #{name}", True, "the bot is in it")
    mend = f"make #{name} and /invite the bot to it, or name another in policy.yaml under channels"
    return Finding(f"Slack channel #{name}", False, "not there, or the bot is not in it", mend)
