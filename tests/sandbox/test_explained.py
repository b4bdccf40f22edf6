"""What the page is told of an example before it is sent: the words of `python -m bot explain`, by the record as it stands."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.alerts.registry import OURS
from bot.alerts.source import VouchedFor
from sandbox.__main__ import SECRET
from tests.commands.terminal import Terminal, files_of_the_team
from tests.stories.story import Story, telling

EXAMPLE = ("alertmanager", "checkout-errors")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A demo in which nothing happens."""
    with telling(f"sqlite:///{tmp_path_factory.mktemp('quiet') / 'firstfive.db'}") as told:
        yield told


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with telling(f"sqlite:///{tmp_path / 'firstfive.db'}") as told:
        yield told


def explained(story: Story, source: str, example: str) -> dict[str, Any]:
    answer = httpx.post(f"{story.world.origin}/_person/explain", json={"source": source, "example": example}, timeout=10).json()
    assert answer["ok"], answer
    found: dict[str, Any] = answer["sees"]
    return found


@pytest.mark.parametrize("source", OURS, ids=lambda one: one.name)
def test_every_example_of_every_source_is_explained_as_it_would_be_sent(quiet: Story, source: Any) -> None:
    for example in source.examples:
        told = explained(quiet, source.name, example.name)

        assert told["verified"] is (None if isinstance(source, VouchedFor) else True), example.name
        assert told["headline"].startswith(f"{source.title}: ")
        (alert,) = told["alerts"]
        assert alert["status"] == alert["facts"]["status"] == example.status.value
        assert {"severity", "service", "started", "identity", "route", "then"} <= alert["facts"].keys()
    assert not quiet.bot.store.incidents()


def test_what_would_come_of_it_follows_what_happened(story: Story) -> None:
    (before,) = explained(story, *EXAMPLE)["alerts"]
    assert (before["outcome"], before["opens"], before["incident"]) == ("open", "SEV1", None)
    assert before["facts"]["would page"] == "the on-call by the key checkout"
    assert before["facts"]["channel"].startswith("#inc-1-checkout")

    story.fires()
    story.channel()
    (again,) = explained(story, *EXAMPLE)["alerts"]
    assert (again["outcome"], again["opens"], again["incident"]) == ("join", None, "INC-1")
    assert again["facts"]["then"] == "join: the same alert is in INC-1: fires again"
    assert (again["pages"], again["facts"]["would page"]) == (False, "nobody: the page of INC-1 is asked for already")
    (over,) = explained(story, "alertmanager", "checkout-errors-resolved")["alerts"]
    assert (over["outcome"], over["incident"]) == ("update", "INC-1")
    (other,) = explained(story, "datadog", "orders-no-data")["alerts"]
    assert (other["outcome"], other["incident"]) == ("relate", "INC-1")
    assert "related to INC-1, which holds it back: a SEV1 of checkout fires" in other["reason"]
    assert other["facts"]["would page"] == "nobody: it is related to INC-1"
    assert len(story.bot.store.incidents()) == 1
    assert story.types_of(1).count("alert_started") == 1


def test_the_page_and_the_command_line_say_the_same(story: Story, tmp_path: Path) -> None:
    story.fires()
    story.channel()
    source = next(one for one in OURS if one.name == "alertmanager")
    example = next(one for one in source.examples if one.name == "checkout-errors")
    terminal = Terminal(tmp_path, files_of_the_team() | {"HOOK_SECRETS": f"alertmanager/main={SECRET}"})
    headers = terminal.file(f"Authorization: Bearer {SECRET}\n", "headers")
    told = explained(story, *EXAMPLE)
    printed = terminal.here("explain", source.name, terminal.file(example.body_at(story.world.clock())), "--headers", headers).out

    assert told["headline"] in printed
    for name, value in told["alerts"][0]["facts"].items():
        # Between the two questions time goes on.
        if name != "started":
            assert f"   {name:12}{value}\n" in printed + "\n"


def test_what_is_no_example_is_refused(quiet: Story) -> None:
    for given, why in ({"source": "alertmanager", "example": "nope"}, "no example nope"), ({"source": "nope"}, "nope"):
        answer = httpx.post(f"{quiet.world.origin}/_person/explain", json=given, timeout=10)

        assert answer.status_code == 400
        assert why in answer.json()["error"]
