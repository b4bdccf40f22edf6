"""The judge of a page that PagerDuty took and lost can say no."""

from types import SimpleNamespace

import pytest

from bot.incidents.incident import PageState
from bot.incidents.timeline import Entry
from tests.builders import after
from tests.faults import strangers


def told(accepted, seen, pages=("there",)):
    """A trial whose timeline says so; seconds from when PagerDuty took the page."""
    entries = [Entry(after(seconds=one), "page_accepted", "INC-1") for one in accepted]
    entries += [Entry(after(seconds=one), "page_lost", "INC-1", fields={"reason": "PagerDuty shows no incident"}) for one in seen]
    incident = SimpleNamespace(episode=SimpleNamespace(page=PageState.ACCEPTED))
    store = SimpleNamespace(timeline=lambda ref: entries, incident=lambda number: incident)
    return SimpleNamespace(bot=SimpleNamespace(store=store), pages=lambda number: list(pages))


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (told([0.1], [119]), None),
        (told([-1], [119]), "before it was sent"),
        (told([], [119]), "before it was sent"),
        (told([0.1], []), "was not noticed within 120 s"),
        (told([0.1], [121]), "was not noticed within 120 s"),
        (told([100], [150]), "was not noticed within 120 s"),
        (told([0.1], [60], pages=()), "still says “paged”"),
        (told([0.1, 70], [60], pages=()), None),
    ],
)
def test_a_lost_page_that_is_noticed_late_or_told_wrongly_is_seen(trial, said):
    wrong = [one.what for one in strangers.noticed(trial, 1, after(0))]

    assert (said is None and not wrong) or any(said in one for one in wrong if said), wrong
