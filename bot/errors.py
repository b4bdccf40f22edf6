"""What can go wrong, on purpose. Anything else is a bug.

Refused      a person asked for something that cannot be; the reason is shown to them as it stands
Unverified   a delivery whose signature or token does not hold; answered with 401, never stored
Unavailable  whom we must ask before a delivery can be trusted does not answer; 503, and the sender tries again
Unreadable   a delivery that is signed but cannot be understood; the reason names the place
TryLater     a neighbour could not take an effect now; the worker tries again
OverBudget   it was not asked: its rate limit would have refused; goes out when there is room, and counts as no try
Overtaken    it was not asked: this process stood still, and another may have taken the effect over; leave it alone
Ambiguous    nobody can tell whether the neighbour took it; probe before sending again
GaveUp       a neighbour will never take it; the effect is parked and an alarm raised
Broken       a file the team wrote (policy, template, runbook) cannot be used; names file and line
"""

from datetime import timedelta


class Refused(Exception):
    """A person asked for something that cannot be. `reason` is a full sentence and says what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unverified(Exception):
    """The signature or token of a delivery does not hold. The reason never contains the secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unavailable(Exception):
    """Whether a delivery can be trusted cannot be found out now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unreadable(Exception):
    """A delivery cannot be understood. The reason says where in the body, and what was expected."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TryLater(Exception):
    """A neighbour could not take an effect now. `after` is what it asked us to wait, if it did.

    With `mend`, waiting alone will not help: a person has to do that, and an alarm says so.
    """

    def __init__(self, reason: str, after: timedelta | None = None, mend: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after
        self.mend = mend


class OverBudget(TryLater):
    """We did not ask, because the neighbour would have refused: it is not the effect's turn for `after`. No try at all.

    `is_alike`: whatever else was put back for the same reason would be told it again.
    """

    def __init__(self, reason: str, after: timedelta, *, is_alike: bool = False) -> None:
        super().__init__(reason, after)
        self.wait, self.is_alike = after, is_alike


class Overtaken(Exception):
    """We did not ask, because the claim on this effect may have run out: whoever has it now will."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Ambiguous(TryLater):
    """The answer was lost: the neighbour may or may not have acted. Probe first, then send again."""


class GaveUp(Exception):
    """A neighbour will never take this effect as it is. `mend` says what a person can do."""

    def __init__(self, reason: str, mend: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.mend = mend


class Broken(Exception):
    """A file the team wrote cannot be used. Reads as `policy.yaml:12: what is wrong; how to mend it`."""

    def __init__(self, file: str, line: int | None, problem: str) -> None:
        self.file, self.line, self.problem = file, line, problem
        super().__init__(f"{file}:{line}: {problem}" if line else f"{file}: {problem}")
