"""A clock that people and tests can move forward. It never goes back."""

import threading
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """Real time plus what it was moved by; or standing still at `frozen` plus that, for tests."""

    def __init__(self, frozen: datetime | None = None) -> None:
        self._frozen = frozen
        self._offset = timedelta()
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Now, in UTC."""
        with self._lock:
            return (self._frozen or datetime.now(UTC)) + self._offset

    @property
    def offset_seconds(self) -> float:
        """How far it was moved."""
        with self._lock:
            return self._offset.total_seconds()

    def advance(self, seconds: float) -> None:
        """Move it forward. Raises ValueError for going back."""
        if seconds < 0:
            raise ValueError("the clock only goes forward")
        with self._lock:
            self._offset += timedelta(seconds=seconds)
