"""Metrics: numbers from timelines, with their reasons. Rules: pure folds; docs/metrics.md defines each.

May import: `journal`, `incidents`, `errors`.
Open `week.py` first; `episodes.py` folds a timeline, `figures.py` has the arithmetic.
"""

from bot.metrics.told import Told
from bot.metrics.week import Scorecard, WeekMetrics, week_metrics

__all__ = ["Scorecard", "Told", "WeekMetrics", "week_metrics"]
