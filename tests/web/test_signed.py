"""Deliveries with their senders' own signatures, at the real way in: taken unchanged, refused as soon as anything is.

The bot that takes them knows the secrets they were signed with, and is served with a time of day that a test can set: a
signature with a time in it is good for five minutes of a day that is over.
"""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs

import pytest

from bot.alerts.registry import source_named
from tests.alerts.test_corpus import CORPUS
from tests.web.served import Answer, Served, serving
from tests.web.signed import (
    CERTIFICATE_ENDS,
    PROOF,
    STALE,
    WORKED_SECRET,
    Signed,
    Watch,
    places,
    real,
    route_of,
    tampered,
    worked,
)

REAL, TAMPERED, WORKED = list(real()), list(tampered()), list(worked())
needs_corpus = pytest.mark.skipif(not REAL, reason="the folder of real payloads is not beside this checkout")
needs_facts = pytest.mark.skipif(not WORKED, reason="the facts with the worked examples are not beside this checkout")
GITHUBS_OWN = Signed(
    # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
    "GitHub's own", "github", "It's a Secret to Everybody", b"Hello, World!",
    {PROOF["github"]: "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
)  # fmt: skip
FOR_EVER = [one for one in REAL if one.source != "slack" and source_named(one.source).identity_window_seconds is None]
"""Those whose senders give each delivery an id: what is good for ever is good once."""
IN_TIME = [one for one in REAL if one.at or one.source == "cloudwatch"]


class Door:
    """A served bot, its time of day, and what senders send to it."""

    def __init__(self, served: Served, watch: Watch) -> None:
        self.served, self.watch = served, watch

    def gets(self, one: Signed, late: timedelta = timedelta(0)) -> Answer:
        """A delivery as it is, when it was signed or so much later."""
        self.watch.moment = one.at and one.at + late
        path = "/slack/events" if one.source == "slack" else f"/hooks/{one.source}/{route_of(one)}"
        return self.served.ask("POST", path, one.body, one.headers)


def opened(folder: str, given: list[Signed], slack_secret: str, command: str = "/incident") -> Iterator[Door]:
    """A bot that knows the secrets of these."""
    watch = Watch()
    settings = {"real_time": watch, "hook_secrets": places(given), "slack_signing_secret": slack_secret, "slack_command": command}
    with serving(f"sqlite:///{folder}/bot.db", **settings) as served:
        # Amazon, with the certificate that these were signed with; a confirmation is asked for and forgotten.
        certificate = CORPUS / "cloudwatch_sns" / "test_signing_cert.pem"
        served.story.bot.sns.fetch = lambda address: certificate.read_bytes()
        yield Door(served, watch)


@pytest.fixture(scope="module")
def door(tmp_path_factory) -> Iterator[Door]:
    slack = [one for one in REAL if one.source == "slack"]
    commands = [parse_qs(one.body.decode()).get("command", []) for one in slack]
    # The app of these has one command, and one secret.
    command = next((found[0] for found in commands if found), "/incident")
    yield from opened(tmp_path_factory.mktemp("real"), [*REAL, *TAMPERED, GITHUBS_OWN], slack[0].secret if slack else "x", command)


@pytest.fixture(scope="module")
def other_door(tmp_path_factory) -> Iterator[Door]:
    yield from opened(tmp_path_factory.mktemp("worked"), WORKED, WORKED_SECRET)


def is_taken(one: Signed, answer: Answer) -> bool:
    return answer.status == (200 if one.source == "slack" else 202)


def is_refused(one: Signed, answer: Answer) -> bool:
    if one.source == "slack":
        return answer.status == 401
    return answer.refused(401) != ""


def case(one: Signed) -> str:
    return one.case


@needs_corpus
def test_there_are_signed_ones_of_every_sender_that_signs():
    assert {one.source for one in REAL} == {*PROOF, "cloudwatch", "statuscake"}
    assert {one.source for one in REAL if one.at} == {"grafana", "slack"}
    assert {one.source for one in WORKED} <= {one.source for one in REAL}


@needs_corpus
@pytest.mark.parametrize("one", REAL, ids=case)
def test_what_its_sender_signed_is_taken_as_it_came(door, one):
    answer = door.gets(one)

    assert is_taken(one, answer), answer


@needs_corpus
@pytest.mark.parametrize("one", REAL, ids=case)
def test_with_one_thing_changed_it_is_not_taken(door, one):
    for what, changed in one.wrong():
        answer = door.gets(changed)

        assert is_refused(one, answer), (what, answer)


@needs_corpus
@pytest.mark.parametrize("one", TAMPERED, ids=case)
def test_what_was_changed_on_its_way_is_not_taken(door, one):
    assert is_refused(one, door.gets(one))


@needs_corpus
@pytest.mark.parametrize("one", IN_TIME, ids=case)
def test_a_signature_is_not_taken_out_of_its_time(door, one):
    if one.source == "cloudwatch":
        # Amazon's signature has no time after which it is not good any more; its certificate has.
        door.watch.moment = CERTIFICATE_ENDS
        answer = door.served.ask("POST", f"/hooks/{one.source}/{route_of(one)}", one.body, one.headers)
        assert is_refused(one, answer)
        return
    for late in (STALE, -STALE):
        assert is_refused(one, door.gets(one, late))
    for late in (STALE - timedelta(seconds=2), timedelta(seconds=2) - STALE):
        assert is_taken(one, door.gets(one, late))


@needs_corpus
@pytest.mark.parametrize("one", FOR_EVER, ids=case)
def test_a_signature_without_a_time_is_taken_again_and_counts_once(door, one):
    door.gets(one)

    assert door.gets(one).json["seen"] is True


@needs_corpus
def test_slack_s_handshake_is_answered_with_what_it_asked(door):
    [one] = [one for one in REAL if one.case == "slack/url_verification"]

    assert door.gets(one).json["challenge"] in one.body.decode()


def test_the_example_of_github_s_documentation_is_believed(door):
    # It is no JSON: what GitHub signed is kept, and put aside.
    assert is_taken(GITHUBS_OWN, door.gets(GITHUBS_OWN))
    for _, changed in GITHUBS_OWN.wrong():
        assert is_refused(changed, door.gets(changed))


@needs_facts
@pytest.mark.parametrize("one", WORKED, ids=case)
def test_a_worked_example_of_each_signature_is_believed_and_with_one_thing_changed_is_not(other_door, one):
    # What is in it is no delivery of anybody's: believed is what is read at all, and Slack's is then no request that is known.
    assert other_door.gets(one).status in ((404,) if one.source == "slack" else (202, 400))
    for what, changed in one.wrong():
        assert is_refused(one, other_door.gets(changed)), what
    if one.at:
        assert is_refused(one, other_door.gets(one, STALE))


@needs_corpus
def test_after_all_of_them_the_bot_still_pages(door):
    door.watch.moment = None
    door.served.is_read()
    parked = [one.reason for one in door.served.story.bot.store.deliveries(("parked",), 500)]
    assert not [one for one in parked if "bug" in (one or "")]
