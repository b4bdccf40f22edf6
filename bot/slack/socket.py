"""Socket Mode: the same requests over a websocket that the bot opens, for those who cannot be reached from outside."""

from threading import Event

import structlog
from slack_bolt.adapter.socket_mode import SocketModeHandler

from bot.slack.app import SlackApp

log = structlog.get_logger()


class SocketMode:
    """Holds the connection open; slack_sdk's own client pings, and connects anew when Slack asks it to."""

    def __init__(self, app: SlackApp, app_token: str) -> None:
        self._handler = SocketModeHandler(app.app, app_token, ping_interval=15)
        self._stopped = Event()

    def start(self) -> None:
        """Connect. Raises slack_sdk's SlackApiError where the token is refused."""
        self._handler.connect()  # type: ignore[no-untyped-call]

    def trouble(self) -> str:
        """Why nothing comes in; empty where the connection stands."""
        client = self._handler.client
        if self._stopped.is_set() or (client is not None and client.is_connected()):
            return ""
        return "Socket Mode is not connected: nothing that people type or press arrives"

    def stop(self) -> None:
        """Disconnect."""
        self._stopped.set()
        self._handler.close()  # type: ignore[no-untyped-call]
