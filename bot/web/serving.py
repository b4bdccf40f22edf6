"""Serving the application with uvicorn, in this thread or in one of its own."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import uvicorn


class Server:
    """A uvicorn that can be started, found and stopped."""

    def __init__(self, app: Callable[..., Any], host: str, port: int) -> None:
        config = uvicorn.Config(
            app, host=host, port=port, log_level="warning", access_log=False, lifespan="off",
            timeout_keep_alive=75, timeout_graceful_shutdown=10, h11_max_incomplete_event_size=65_536,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Serve until a signal to stop; in the main thread."""
        self._server.run()

    def start(self) -> None:
        """Serve in a thread; returns once it listens."""
        self._thread = threading.Thread(target=self._quietly, name="web", daemon=True)
        self._thread.start()
        end = time.monotonic() + 15
        while not self._server.started:
            if time.monotonic() > end or not self._thread.is_alive():
                raise OSError(f"could not listen on {self._server.config.host}:{self._server.config.port}")
            time.sleep(0.01)

    @property
    def port(self) -> int:
        """The port it listens on, also where any free one was asked for."""
        sockets = [one for server in self._server.servers for one in server.sockets]
        return int(sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Answer what is under way, then stop."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(timeout=15)

    def _quietly(self) -> None:
        with contextlib.suppress(SystemExit):
            self._server.run()


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens there yet."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except OSError:
            return False
    return True
