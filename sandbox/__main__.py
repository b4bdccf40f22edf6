"""`make demo`: the sandbox and the bot together, the bot unmodified; one address, and what to press first.

The only file of the sandbox that knows the bot. It hands it a clock that can be moved.
"""

import argparse
import fcntl
import json
import os
import sys
import time
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

warnings.filterwarnings("ignore", category=UserWarning, module="pdpyras")

from bot.alerts.registry import source_named, sources  # noqa: E402
from bot.alerts.source import Delivery, Source  # noqa: E402
from bot.clock import Clock, wall_clock  # noqa: E402
from bot.commands.explanation import Explained, News, explanation  # noqa: E402
from bot.commands.running import set_up_logs  # noqa: E402
from bot.commands.stopping import asked_to_stop  # noqa: E402
from bot.errors import Refused, Unreadable, Unverified  # noqa: E402
from bot.settings import Settings  # noqa: E402
from bot.store import DatabaseDown, migrate  # noqa: E402
from bot.web.serving import is_free  # noqa: E402
from bot.wiring import Bot  # noqa: E402
from sandbox.app import Sandbox  # noqa: E402
from sandbox.calls import post  # noqa: E402
from sandbox.cast import SERVICES  # noqa: E402
from sandbox.serving import Serving  # noqa: E402
from sandbox.world import World  # noqa: E402

TOP = Path(__file__).resolve().parents[1]
FOLDER = Path(".demo")
# How long the clock waits at most, each time something fell due, until that is told.
SETTLE_SECONDS = 0.6
SECRET = "sandbox-alert-token"


class Demo:
    """A sandbox, a bot, and the wires between them. Tests use it too."""

    def __init__(
        self, world: World, database_url: str, port: int = 0, bot_port: int = 0, *, real_time: Clock = wall_clock, **more: Any
    ) -> None:
        """`real_time` is what signatures are held against; `more` are settings of the bot in place of the sandbox's."""
        self.world, self.database_url = world, database_url
        self.sandbox = Sandbox.around(world)
        self.serving = Serving(self.sandbox, port)
        self._bot_port, self._real_time, self._more = bot_port, real_time, more
        self.bot: Bot | None = None
        self._works = False

    def start(self, *, works: bool = True) -> None:
        """Start everything. Without `works` the worker's threads stay still, for tests that settle it by hand."""
        origin = self.serving.start()
        given = {"host": "127.0.0.1", **settings_for(self.sandbox, origin, self.database_url), "log_level": "warning"}
        bot = Bot(Settings(_env_file=None, **(given | self._more)), self.world.clock, self._real_time)
        self.bot = bot
        migrate.upgrade(bot.store.engine)
        self._works = works
        if works:
            bot.start_worker()
        server = bot.start_web("127.0.0.1", self._bot_port)
        self.world.bot = f"http://127.0.0.1:{server.port}"
        self.world.fire, self.world.explain, self.world.samples = self.fire, self.explain, samples
        self.world.moved, self.world.due = self._moved, self._due
        bot.learn_people()

    def stop(self) -> None:
        """Stop everything."""
        if self.bot is not None:
            self.bot.stop()
        self.serving.stop()

    def hooks(self) -> dict[str, Any]:
        """Where the alerts of each source go that a token lets in, and that token. Others sign each body: `bot send` does."""
        token = {"Authorization": f"Bearer {SECRET}"}
        return {
            name: {"url": f"{self.world.bot}/hooks/{name}/main", "headers": token}
            for name, source in sources().items()
            if name != "pagerduty" and takes_token(source)
        }

    def fire(self, name: str, example: str | None) -> dict[str, Any]:
        """Post one of the bot's own examples to it, signed as its sender would."""
        try:
            _, body, headers = self._signed(name, example)
        except Refused as error:
            return {"ok": False, "error": error.reason}
        answer = post(f"{self.world.bot}/hooks/{name}/main", body, headers, 10)
        return {"ok": answer.status == 202, "status": answer.status, "answer": answer.body.decode(errors="replace")}

    def explain(self, name: str, example: str | None) -> dict[str, Any]:
        """What `python -m bot explain` says of an example as it would be sent now, and of the record as it is."""
        assert self.bot is not None
        try:
            source, body, headers = self._signed(name, example)
            bot, arriving = self.bot, self._arriving(body, headers)
            told = explanation(source, arriving, bot.settings, bot.choices.policy(), bot.choices.runbooks(), bot.store)
        except (Refused, Unreadable, DatabaseDown) as error:
            return {"ok": False, "error": str(error)}
        return {
            "ok": True, "headline": told.headline, "source": told.source.title, "verified": told.verified, "why": told.why,
            "ignored": told.reading.ignored, "alerts": [shown(one) for one in told.alerts],
        }  # fmt: skip

    def _signed(self, name: str, example: str | None) -> tuple[Source, bytes, Mapping[str, str]]:
        """One of the bot's own examples as its sender would send it now. Raises `Refused` where there is none."""
        source = source_named(name)
        chosen = next((one for one in source.examples if example in (None, one.name)), None)
        if chosen is None:
            raise Refused(f"{name} has no example {example}")
        body = chosen.body_at(self.world.clock())
        secret = self.world.webhook_secret if name == "pagerduty" else SECRET
        return source, body, chosen.sent_by(source, secret, wall_clock(), body)

    def _arriving(self, body: bytes, headers: Mapping[str, str]) -> Delivery:
        return Delivery(body, {key.lower(): value for key, value in headers.items()}, "main", self.world.clock())

    def _due(self, until: datetime) -> datetime | None:
        """When the bot next has something to do of itself, up to a moment."""
        found = self.bot.store.due(until, limit=1) if self.bot is not None else ()
        return found[0].due_at if found else None

    def _moved(self, patience: float) -> None:
        """The clock was moved: let what is due happen and be told, before it moves on."""
        bot = self.bot
        if bot is None:
            return
        bot.numbers.ensure_digest()
        end = time.monotonic() + min(patience, 3.0)
        was_due = False
        while bot.store.due(self.world.clock(), limit=1):
            was_due = True
            bot.worker().tick()
            if time.monotonic() > end:
                break
            time.sleep(0.01)
        # With a neighbour away nothing comes to rest, and waiting for it would only hold the clock up.
        if not (self._works and was_due and set(self.world.faults.values()) == {"up"}):
            return
        end = time.monotonic() + min(patience, SETTLE_SECONDS)
        while not bot.worker().is_quiet() and time.monotonic() < end:
            time.sleep(0.01)


def takes_token(source: Source) -> bool:
    """Whether a bearer token lets a body in, whatever it is."""
    one = Delivery(b"{}", {"authorization": f"Bearer {SECRET}"}, "main", wall_clock())
    try:
        source.verify(one, [SECRET], wall_clock())
    except Unverified:
        return False
    return True


def settings_for(sandbox: Sandbox, origin: str, database_url: str) -> dict[str, Any]:
    """The settings with which a bot works against a sandbox; the same names in capitals serve as an environment."""
    account, world = sandbox.account, sandbox.world
    keys = " ".join(f"{name}={account.services[name].key}" for name in SERVICES)
    hooks = " ".join(f"{name}/main={SECRET}" for name in sources() if name != "pagerduty")
    return {
        "database_url": database_url,
        "policy_file": TOP / "policy.yaml",
        "runbooks_dir": TOP / "runbooks",
        "templates_dir": TOP / "postmortem_templates",
        "slack_bot_token": world.slack_token,
        "slack_signing_secret": world.signing_secret,
        "slack_api_url": f"{origin}/slack/api/",
        "pagerduty_keys": f"default={account.services['platform'].key} {keys}",
        "pagerduty_api_token": world.pagerduty_token,
        "pagerduty_from": "chloe@example.com",
        "pagerduty_api_url": f"{origin}/pagerduty/api",
        "pagerduty_events_url": f"{origin}/pagerduty/events",
        "pager_poll_seconds": 5,
        "hook_secrets": f"{hooks} pagerduty/main={world.webhook_secret}",
    }


def shown(one: Explained | News) -> dict[str, Any]:
    """What the page shows of an alert: each fact in the words of the command line, and those that it gives a colour."""
    return {
        "title": one.alert.title, "status": one.alert.status.value, "severity": one.alert.severity.value,
        "outcome": one.outcome, "incident": one.incident, "opens": one.opens, "reason": one.reason, "pages": one.pages,
        "facts": one.facts,
    }  # fmt: skip


def samples() -> list[dict[str, Any]]:
    """What can be fired: every example of every source."""
    return [
        {
            "source": source.name, "source_title": source.title, "example": one.name, "title": one.title,
            "status": one.status.value,
        }
        for source in sources().values()
        for one in source.examples
    ]  # fmt: skip


def free_port(wanted: int) -> int:
    """The wanted port, or the next free one."""
    for port in range(wanted, min(wanted + 50, 65_536)):
        if is_free("127.0.0.1", port):
            return port
    raise SystemExit(f"No port from {wanted} to {wanted + 49} is free. Try PORT=9700 make demo")


def own_folder(port: int) -> tuple[Path, TextIO]:
    """A folder for this demo alone, emptied, and the lock that keeps it so: `.demo`, unless another demo runs in it."""
    for folder in (FOLDER, FOLDER / str(port)):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        for one in folder.iterdir():
            if one.is_file() and one.name != "lock":
                one.unlink()
        return folder, lock
    raise SystemExit(f"Another demo keeps its things in {FOLDER / str(port)}. Try another port: PORT=9700 make demo")


def main() -> int:
    """Run the demo until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 8700), help="the page's port")
    given = parser.parse_args()
    wait = asked_to_stop()
    port = free_port(given.port)
    if port != given.port:
        print(f"Port {given.port} is in use; taking {port}.", flush=True)
    folder, lock = own_folder(port)
    if folder != FOLDER:
        print(f"Another demo runs in {FOLDER}; this one keeps its things in {folder}.", flush=True)
    url = os.environ.get("DATABASE_URL") or f"sqlite:///{folder / 'firstfive.db'}"
    demo = Demo(World(), url, port, free_port(port + 1))
    set_up_logs(Settings(_env_file=None, log_level="warning"))
    try:
        demo.start()
        write_ready(demo, folder)
        print(WELCOME.format(page=demo.world.origin), flush=True)
        wait()
        print("\nStopping …", flush=True)
    finally:
        (folder / "ready.json").unlink(missing_ok=True)
        demo.stop()
        lock.close()
    return 0


WELCOME = """
  Firstfive is running against a local Slack and PagerDuty. Open

      {page}

  1. Under “Fire an alert” press “Checkout 5xx at 7 %”.
  2. Watch Ana's phone ring, and the incident's channel open.
  3. Acknowledge on the phone, on the card, or type /incident ack.

  Ctrl-C ends it.
"""


def write_ready(demo: Demo, folder: Path) -> None:
    """`ready.json` in the demo's folder: where everything is, for scripts and other clients."""
    world = demo.world
    ready = {
        "page": world.origin,
        "slack_api": f"{world.origin}/slack/api/",
        "slack_token": world.slack_token,
        "pagerduty_api": f"{world.origin}/pagerduty/api",
        "pagerduty_events": f"{world.origin}/pagerduty/events",
        "pagerduty_token": world.pagerduty_token,
        "bot": world.bot,
        "hooks": demo.hooks(),
        "database_url": demo.database_url,
    }
    unfinished = folder / "ready.json.new"
    unfinished.write_text(json.dumps(ready, indent=2) + "\n", encoding="utf-8")
    unfinished.rename(folder / "ready.json")


if __name__ == "__main__":
    sys.exit(main())
