"""Everything there is in the sandbox, behind one lock, with a count of changes for whoever watches."""

import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.clock import SandboxClock
from sandbox.misbehaviour import Call, Fault, Misbehaviour

KEPT_CALLS = 50_000
STATES = ("up", "down", "slow", "limited", "revoked")


@dataclass
class World:
    """The shared ground of both neighbours. `origin` is where the sandbox itself is reached, `bot` where the bot is.

    `fire` sends the bot one of its own examples, and `explain` says what would come of that.

    `due` says when the bot next has something to do, up to a moment; `moved` lets it do that, and waits for it at most so
    many seconds. `asked` counts the calls each neighbour got, whatever became of them.
    """

    clock: SandboxClock = field(default_factory=SandboxClock)
    origin: str = "http://127.0.0.1:8700"
    bot: str = "http://127.0.0.1:8701"
    signing_secret: str = "sandbox-signing-secret"
    slack_token: str = "xoxb-sandbox-bot"
    pagerduty_token: str = "sandbox-rest-token"
    webhook_secret: str = "sandbox-webhook-secret"
    slow_seconds: float = 4.0
    is_strict: bool = True
    fire: Callable[[str, str | None], dict[str, Any]] = lambda source, example: {"ok": False, "error": "no bot here"}
    explain: Callable[[str, str | None], dict[str, Any]] = lambda source, example: {"error": "no bot here"}
    samples: Callable[[], list[dict[str, Any]]] = list
    due: Callable[[datetime], datetime | None] = lambda until: None
    moved: Callable[[float], None] = lambda patience: None
    committed: Callable[[str], None] = lambda call: None
    """Called after a call has changed something here, and before it is answered: the worst moment for a bot to die."""
    faults: dict[str, str] = field(default_factory=lambda: {"slack": "up", "pagerduty": "up"})
    asked: dict[str, int] = field(default_factory=lambda: {"slack": 0, "pagerduty": 0})
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=KEPT_CALLS))
    """The newest calls that the neighbours got, in order, and what became of each."""
    misbehaving: dict[str, list[Fault]] = field(default_factory=lambda: {"slack": [], "pagerduty": []})
    lock: threading.RLock = field(default_factory=threading.RLock)
    sequence: int = 0
    changed_parts: dict[str, int] = field(default_factory=dict)

    def changed(self, *parts: str) -> None:
        """Say that these parts of the state are new: channels, views, phones, pagerduty, clock, faults."""
        with self.lock:
            self.sequence += 1
            for part in parts:
                self.changed_parts[part] = self.sequence

    def break_(self, neighbour: str, state: str) -> None:
        """Take a neighbour down, slow it, limit it, refuse its token, or mend it. Raises ValueError for other words."""
        if neighbour not in self.faults or state not in STATES:
            raise ValueError(f"neighbour is slack or pagerduty, state one of {', '.join(STATES)}")
        with self.lock:
            self.faults[neighbour] = state
        self.changed("faults")

    def answer_with(
        self, neighbour: str, call: str, wrong: Misbehaviour, times: int | None = None, *, chance: float = 1.0, seed: int = 0,
        spared: int = 0,
    ) -> Fault:  # fmt: skip
        """Let a neighbour misbehave at the next `times` calls of that name, or at all of them until `mends`.

        A call of Slack's is its method, or `upload`; one of PagerDuty's is `enqueue`, or verb and path (`put /incidents`,
        `get`); `*` is any. With `chance` only such a share of them fails, drawn by `seed`; the first `spared` go well.
        """
        fault = Fault(call, wrong, times, chance, random.Random(f"{call}/{seed}"), spared)
        with self.lock:
            self.misbehaving[neighbour].append(fault)
        return fault

    def mends(self, neighbour: str) -> None:
        """Let a neighbour do again what it should."""
        with self.lock:
            self.misbehaving[neighbour].clear()

    def met(self, call: Call) -> Misbehaviour | None:
        """Keep a call, and say how it fails, if it does."""
        with self.lock:
            self.calls.append(call)
            call.wrong = next((one.wrong for one in self.misbehaving[call.neighbour] if one.meets(call.name)), None)
        return call.wrong

    def calls_of(self, neighbour: str, name: str = "") -> list[Call]:
        """The calls a neighbour got whose name begins so."""
        with self.lock:
            return [one for one in self.calls if one.neighbour == neighbour and one.name.startswith(name)]
