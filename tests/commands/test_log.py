"""The log ends nobody's work: not where the disk is full, not where whoever reads it is gone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.commands.running import LogFile
from tests.commands.terminal import TOP

WORKS = """
import threading, sys
from bot.commands.running import set_up_logs
from bot.settings import Settings
from bot.worker.deliveries import Steady
set_up_logs(Settings(_env_file=None, log_format={form!r}))
rounds, enough = [], threading.Event()
def work():
    rounds.append(1)
    if len(rounds) >= 5:
        enough.set()
    raise RuntimeError("a bug that is logged")
one = Steady("works on", work, lambda seconds: None)
one.start()
print("worked on" if enough.wait(10) else "stopped")
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_full_disk_under_the_log_stops_no_thread(form):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-c", WORKS.format(form=form)], cwd=TOP, stdout=subprocess.PIPE, stderr=full, text=True, timeout=30,
            check=False,
        )  # fmt: skip
    assert done.stdout == "worked on\n"


def test_nor_does_a_reader_that_is_gone():
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = subprocess.run(
            [sys.executable, "-c", WORKS.format(form="json")], cwd=TOP, stdout=subprocess.PIPE, stderr=writes, text=True, timeout=30,
            check=False,
        )  # fmt: skip
    finally:
        os.close(writes)
    assert done.stdout == "worked on\n"


class Disk:
    """A file on a disk that may be full."""

    def __init__(self) -> None:
        self.text, self.is_full = "", False

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


def test_a_gap_in_the_log_is_said_once_there_is_room():
    disk = Disk()
    log = LogFile(disk)  # type: ignore[arg-type]
    for line in ("one", "two", "three", "four"):
        disk.is_full = line in ("two", "three")
        print(json.dumps({"event": line}), file=log, flush=True)  # type: ignore[call-overload]

    events = [json.loads(line)["event"] for line in disk.text.splitlines()]
    assert events == ["one", "before this, lines of the log could not be written", "four"]
