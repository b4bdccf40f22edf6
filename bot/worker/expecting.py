"""Dead-man's switches that are to be heard: waited for from when a bot first runs with them."""

from bot.handle import Door
from bot.incidents.inputs import HeartbeatExpected


class Expecting:
    """Looks at the policy for switches that it has not seen yet. What a process before this one waits for, waits on."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._seen = frozenset[str]()

    def run_once(self) -> int:
        """Expect what is new in the policy. How many it was."""
        wanted = frozenset(one.name for one in self._door.policy().heartbeats if one.expect)
        new = sorted(wanted - self._seen)
        self._seen &= wanted
        for name in new:
            self._door.handle(HeartbeatExpected(name))
            # One by one: what could not be saved is tried again.
            self._seen |= {name}
        return len(new)
