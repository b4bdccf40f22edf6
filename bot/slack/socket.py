"""Socket Mode: the same requests over a websocket that the bot opens, for those who cannot be reached from outside."""

from http.client import HTTPException
from threading import Event, Thread
from urllib.error import URLError

import structlog
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk.errors import SlackClientError

from bot.slack.app import SlackApp

log = structlog.get_logger()

FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0
PING_SECONDS = 5.0
"""slack_sdk takes a line for cut after five pings that fail: until then nothing that people type arrives."""


class SocketMode:
    """Holds the connection open; slack_sdk's own client pings, and connects anew when Slack asks it to."""

    def __init__(self, app: SlackApp, app_token: str, ping_seconds: float = PING_SECONDS) -> None:
        self._handler = SocketModeHandler(app.app, app_token, ping_interval=ping_seconds)
        self._stopped = Event()
        self._why = ""
        self._thread = Thread(target=self._connect, name="socket-mode", daemon=True)

    def start(self) -> None:
        """Begin to connect, and go on trying: alerts are taken and people paged while Slack is away."""
        self._thread.start()

    def _connect(self) -> None:
        wait = FIRST_WAIT
        while not self._stopped.is_set():
            try:
                self._handler.connect()  # type: ignore[no-untyped-call]
                self._why = ""
                return
            except (SlackClientError, URLError, HTTPException, TimeoutError, OSError) as error:
                # An answer of Slack's names what is wrong; it never holds the token.
                self._why = str(error).splitlines()[0][:200] or type(error).__name__
                log.warning("Socket Mode is not connected", reason=self._why, again_in=wait)
            self._stopped.wait(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    def trouble(self) -> str:
        """Why nothing comes in; empty where the connection stands."""
        client = self._handler.client
        if self._stopped.is_set() or (client is not None and client.is_connected()):
            return ""
        why = f" ({self._why})" if self._why else ""
        return f"Socket Mode is not connected{why}: nothing that people type or press arrives; is SLACK_APP_TOKEN right?"

    def stop(self) -> None:
        """Disconnect."""
        self._stopped.set()
        self._handler.close()  # type: ignore[no-untyped-call]
