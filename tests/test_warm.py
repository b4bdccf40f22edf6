"""What is forked from a start that is shared is a process like one that started by itself."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import warm
from tests.commands.terminal import Terminal, files_of_the_team
from tests.databases import sqlite

pytestmark = pytest.mark.skipif(not warm.is_possible(), reason="processes have no descriptors here")


@pytest.fixture
def bot(tmp_path: Path) -> Terminal:
    """The team's files, and an empty record."""
    sqlite(tmp_path / "firstfive.db")
    return Terminal(tmp_path, files_of_the_team())


@pytest.mark.parametrize("words", [["sources"], ["metrics", "--json"], ["policy"], ["nonsense"], ["explain", "generic", "-"], []])
def test_a_command_says_and_ends_as_one_that_starts_by_itself(bot, words):
    given = {"stdin": b"{not JSON", "hook_secrets": "generic/main=s3cret-77"}

    assert bot(*words, **given) == bot.cold(*words, **given)


def test_the_environment_and_the_folder_are_those_that_were_given_and_no_others(bot, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "sqlite:////nowhere/at-all.db")
    assert bot("metrics").code == 0
    assert "/nowhere/at-all.db" in bot("metrics", database_url="sqlite:////nowhere/at-all.db").err


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_the_code_says_which(bot, number):
    reads, writes = os.pipe()
    with (bot.folder / "log").open("wb") as log:
        process = warm.starter().start(
            "bot", ["explain", "generic", "-"], bot.folder, bot.environment(), (reads, log.fileno(), log.fileno())
        )
    os.close(reads)
    try:
        time.sleep(1)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        process.send_signal(number)
        code = process.wait(30)
    finally:
        os.close(writes)

    assert code in ((-number,) if number != signal.SIGINT else (-number, 1, 130)), code
    process.kill()
    assert process.poll() == code
    assert not Path(f"/proc/{process.pid}").exists(), "nobody has waited for it"
