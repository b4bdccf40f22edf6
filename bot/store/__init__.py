"""The record: what happened, what is to be done, what came in. The only SQL.

May import: the rules and `errors`. Nothing here knows Slack, PagerDuty or the web.
Open `work.py` first: one transaction, and all that can be done in it; `tables.py` says what is kept.
"""

from bot.store.database import Conflict, DatabaseDown
from bot.store.outbox import Row
from bot.store.rehearsal import Rehearsal
from bot.store.store import Store
from bot.store.work import Work

__all__ = ["Conflict", "DatabaseDown", "Rehearsal", "Row", "Store", "Work"]
