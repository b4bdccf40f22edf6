"""A transaction that is never written: what would come of one input after another, while nobody waits for it."""

from dataclasses import dataclass

from bot.store.work import Work


@dataclass(frozen=True, slots=True)
class Rehearsal(Work):
    """Each decision is taken on what those before it would leave. It takes no lock, and nothing of it is kept.

    Alerts that would change hands with their incident are found there by what the incident has become.
    """

    def openings_alone(self) -> None:
        """Nobody is kept out: nothing is opened."""
        self.pending.opens_alone = True

    def silences_alone(self) -> None:
        """Nobody is kept out: no silence begins or ends."""

    def number_after(self, last: int) -> None:
        """The next incident is numbered as if that were the last one."""
        self.pending.number = last

    def write(self) -> None:
        """Nothing is written."""

    def _write_incidents(self) -> None:
        """Nor before the end."""
