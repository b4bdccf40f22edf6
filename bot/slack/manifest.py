"""The Slack app's manifest, from what the code uses: scopes, command, events. deploy/slack-manifest.yaml is made from it."""

from typing import Any

import yaml

SCOPES = {
    "commands": "the slash command",
    "chat:write": "messages",
    "channels:manage": "incident channels, their topics, invitations",
    "channels:read": "finding the channels that the policy names",
    "channels:history": "looking before a message is sent again",
    "groups:write": "private incidents",
    "groups:read": "private incidents",
    "groups:history": "private incidents",
    "users:read": "names and zones",
    "users:read.email": "finding people of PagerDuty in Slack",
    "pins:write": "pinning the card",
    "bookmarks:read": "bookmarks, each once",
    "bookmarks:write": "bookmarks",
    "files:write": "post-mortem drafts",
    "app_mentions:read": "answering when it is mentioned",
    "reactions:read": "a 📌 puts a message on the timeline",
}
EVENTS = ("app_mention", "reaction_added")


def manifest(url: str = "https://bot.example.com", command: str = "/incident", *, socket: bool = False) -> dict[str, Any]:
    """The manifest. With `socket`, Slack is reached by Socket Mode and needs no address."""
    endpoint = {} if socket else {"url": f"{url}/slack/events"}
    request = {} if socket else {"request_url": f"{url}/slack/events"}
    return {
        "display_information": {
            "name": "Firstfive",
            "description": "Opens incidents, pages who is on call, and tells the truth about it",
            "background_color": "#4a154b",
        },
        "features": {
            "bot_user": {"display_name": "firstfive", "always_online": True},
            "slash_commands": [
                {
                    "command": command,
                    **endpoint,
                    "description": "Declare, acknowledge and run incidents",
                    "usage_hint": "declare sev2 checkout is slow | ack | help",
                    "should_escape": True,
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "event_subscriptions": {**request, "bot_events": list(EVENTS)},
            "interactivity": {"is_enabled": True, **request},
            "org_deploy_enabled": False,
            "socket_mode_enabled": socket,
            "token_rotation_enabled": False,
        },
    }


def manifest_text() -> str:
    """deploy/slack-manifest.yaml."""
    head = (
        "# Slack app manifest. Made by `make docs` from bot/slack/manifest.py; edit that.\n"
        "# Put your bot's address where it says bot.example.com; for Socket Mode set socket_mode_enabled to true and\n"
        "# leave the addresses out (`python -m bot manifest --socket` prints that).\n"
    )
    return head + yaml.safe_dump(manifest(), sort_keys=False, allow_unicode=True)
