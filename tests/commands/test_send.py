"""`send`: every example of every source, signed so that a bot takes it."""

import socket
import threading
from collections.abc import Iterator

import pytest

from bot.alerts.registry import OURS, sources
from sandbox.__main__ import SECRET, Demo
from sandbox.world import World
from tests.commands.terminal import Terminal

EVERY = [(source.name, one.name) for source in OURS for one in source.examples]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A bot that takes deliveries; nothing is done with them."""
    made = Demo(World(is_strict=False), f"sqlite:///{tmp_path_factory.mktemp('send') / 'bot.db'}")
    made.start(works=False)
    yield made
    made.stop()


@pytest.fixture
def sender(empty: Terminal, demo: Demo) -> Terminal:
    secrets = {name: SECRET for name in sources()} | {"pagerduty": demo.world.webhook_secret}
    empty.given = {
        "PUBLIC_URL": demo.world.bot + "/",
        "HOOK_SECRETS": " ".join(f"{name}/main={secret},old-one-being-replaced" for name, secret in secrets.items()),
    }
    return empty


@pytest.mark.parametrize(("source", "example"), EVERY)
def test_every_example_is_taken(sender, source, example):
    told = sender.here("send", source, "--example", example)

    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("202 ")


def test_the_examples_are_listed(sender):
    for source in OURS:
        told = sender.here("send", source.name, "--example", "list")
        assert [line.split()[0] for line in told.out.splitlines()] == [one.name for one in source.examples]


def test_a_file_and_standard_input_are_sent_as_they_are(sender, demo):
    body = '{"title": "Sent by hand", "service": "web"}'

    assert sender.here("send", "generic", sender.file(body), "--url", demo.world.bot).out.startswith("202 ")
    assert sender("send", "generic", "-", stdin=body.encode()).out.startswith("202 ")


@pytest.mark.parametrize(("route", "said"), [("main", "401 "), ("other", "404 ")])
def test_what_the_bot_refuses_is_shown_with_its_reason(sender, route, said):
    told = sender("send", "generic", "--route", route, hook_secrets=f"generic/{route}=not-what-the-bot-has")

    assert (told.code, told.out) == (1, "")
    assert told.err.startswith(said)
    assert len(told.err.strip()) > len(said)


def test_a_body_that_no_bot_can_read_is_refused_with_the_reason(sender):
    told = sender("send", "generic", sender.file("not JSON"))

    assert (told.code, told.err[:4]) == (1, "400 ")


def test_somebody_else_at_the_address_is_said_in_one_line(sender):
    def speak_something_else() -> None:
        with other.accept()[0] as connection:
            connection.recv(65_536)
            connection.sendall(b"220 mail.example.com ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=speak_something_else, daemon=True).start()
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        told = sender.here("send", "generic", "--url", url).refused()

    assert told.startswith(f"no answer from {url}/hooks/generic/main (")
    assert told.endswith("--url names another.")
