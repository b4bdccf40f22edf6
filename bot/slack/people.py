"""Learning who is in Slack: so that a name in PagerDuty becomes a face, and a guest is known as one."""

import threading
import time
from collections.abc import Callable
from datetime import datetime

import structlog

from bot.errors import GaveUp, TryLater
from bot.slack.client import Slack
from bot.store import DatabaseDown, Store
from bot.store.people import Person

log = structlog.get_logger()

AGAIN_SECONDS = 600.0
"""From one reading of everybody to the next."""
PAGE = 200
"""So many at once, as Slack recommends; of more than twenty pages a minute the rest is read in the next.
https://docs.slack.dev/apis/web-api/pagination
"""


class People:
    """Reads everybody, page by page, and remembers each page. Where Slack or the record is away, it goes on from there.

    Whoever is not known yet cannot be asked to help, so a first reading that failed must not wait for the next one's time.
    """

    def __init__(
        self, slack: Slack, store: Store, clock: Callable[[], datetime], steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._slack, self._store, self._clock, self._steady = slack, store, clock, steady
        self._cursor = ""
        self._read_at: float | None = None
        self._turn = threading.Lock()

    def run_once(self) -> int:
        """Read on, if it is time; how many people were read. Called often: it does nothing in between."""
        with self._turn:
            if not self._slack.has_token or (self._read_at is not None and self._steady() - self._read_at < AGAIN_SECONDS):
                return 0
            return self._read()

    def _read(self) -> int:
        seen = 0
        try:
            while True:
                answer = self._slack.call("users.list", limit=PAGE, cursor=self._cursor or None)
                found = [_person(one) for one in answer.get("members", [])]
                self._store.remember_people(found, self._clock())
                seen += len(found)
                self._cursor = str(answer.get("response_metadata", {}).get("next_cursor", ""))
                if not self._cursor:
                    break
        except GaveUp as error:
            # A cursor that has grown too old is refused: from the beginning, then. What is refused there stays so for a while.
            if not self._cursor:
                self._read_at = self._steady()
            self._cursor = ""
            log.warning("people not read", reason=error.reason)
        except (TryLater, DatabaseDown) as error:
            if isinstance(error, TryLater) and error.mend:
                # A person has to do something first.
                self._read_at = self._steady()
            log.info("people not read to the end yet", reason=str(error), so_far=seen)
        else:
            self._read_at = self._steady()
        return seen


def _person(user: dict[str, object]) -> Person:
    profile = user.get("profile")
    profile = profile if isinstance(profile, dict) else {}
    return Person(
        slack_id=str(user["id"]),
        name=str(user.get("name") or ""),
        real_name=str(user.get("real_name") or profile.get("real_name") or ""),
        email=str(profile.get("email") or "").lower(),
        zone=str(user.get("tz") or ""),
        is_guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
        is_bot=bool(user.get("is_bot")),
        is_deleted=bool(user.get("deleted")),
    )
