"""Serving the sandbox on this machine, for the demo and for tests."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from sandbox.app import Sandbox
from sandbox.misbehaviour import WithTransport
from sandbox.world import World


class Serving:
    """A sandbox that listens on 127.0.0.1."""

    def __init__(self, sandbox: Sandbox, port: int = 0) -> None:
        self.sandbox = sandbox
        config = uvicorn.Config(
            sandbox.app(), host="127.0.0.1", port=port, log_level="error", lifespan="off", access_log=False,
            timeout_graceful_shutdown=1, http=WithTransport,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._server.run, daemon=True)]
        self._threads.append(threading.Thread(target=self._tick, daemon=True))

    def start(self) -> str:
        """Listen; the address."""
        self._threads[0].start()
        end = time.monotonic() + 15
        while not self._server.started:
            if time.monotonic() > end or not self._threads[0].is_alive():
                raise OSError("the sandbox could not listen")
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.sandbox.world.origin = f"http://127.0.0.1:{port}"
        self._threads[1].start()
        return self.sandbox.world.origin

    def stop(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._server.should_exit = True
        self._server.force_exit = True
        self._threads[0].join(timeout=5)

    def _tick(self) -> None:
        while not self._stop.wait(1.0):
            self.sandbox.account.tick()


@contextmanager
def running(world: World | None = None, port: int = 0) -> Iterator[Sandbox]:
    """A sandbox that listens for as long as the context lasts; its address is `sandbox.world.origin`."""
    serving = Serving(Sandbox.around(world or World()), port)
    serving.start()
    try:
        yield serving.sandbox
    finally:
        serving.stop()
