"""What `bot check` asks Slack: whether the token works, which scopes it lacks, whether the channels are there."""

from slack_sdk.errors import SlackClientError

from bot.errors import GaveUp, TryLater
from bot.findings import Finding
from bot.incidents.policy import Policy
from bot.slack.client import MEND_TOKEN, Slack
from bot.slack.manifest import SCOPES


def check(slack: Slack, policy: Policy) -> list[Finding]:
    """One finding for each thing. Posts nothing."""
    if not slack.has_token:
        return [Finding("Slack token", False, "SLACK_BOT_TOKEN is not set", "README: Connect a real Slack")]
    try:
        answer = slack.web.api_call("auth.test")
        slack.bot_user()
        scopes = {name.lower(): value for name, value in answer.headers.items()}.get("x-oauth-scopes", "")
        channels = slack.call("users.conversations", types="public_channel,private_channel", limit=200)
    except (TryLater, GaveUp) as error:
        return [Finding("Slack token", False, error.reason, getattr(error, "mend", "") or MEND_TOKEN)]
    except SlackClientError as error:
        return [Finding("Slack token", False, f"Slack does not take it: {error}", MEND_TOKEN)]
    found = [Finding("Slack token", True, f"works, as {answer.get('user')} in {answer.get('team')}")]
    found += _scopes({one.strip() for one in scopes.split(",")})
    there = {one["name"] for one in channels.get("channels", [])} | {one["id"] for one in channels.get("channels", [])}
    wanted = dict.fromkeys((policy.channels.announce, policy.channels.operations, policy.channels.digest))
    return found + [_channel(name, there) for name in wanted]


def _scopes(given: set[str]) -> list[Finding]:
    missing = [f"{scope} ({use})" for scope, use in SCOPES.items() if scope not in given]
    if not missing:
        return [Finding("Slack scopes", True, f"all {len(SCOPES)} are there")]
    mend = "add them under OAuth & Permissions, then reinstall the app; deploy/slack-manifest.yaml has them all"
    return [Finding("Slack scopes", False, f"missing: {', '.join(missing)}", mend)]


def _channel(name: str, there: set[str]) -> Finding:
    if name in there:
        return Finding(f"Slack channel #{name}", True, "the bot is in it")
    mend = f"make #{name} and /invite the bot to it, or name another in policy.yaml under channels"
    return Finding(f"Slack channel #{name}", False, "not there, or the bot is not in it", mend)
