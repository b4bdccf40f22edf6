"""A signal to stop is heard, whichever thread of the process takes it, and however early it comes."""

import signal
import subprocess
import sys

import pytest

from tests.commands.terminal import TOP

WAITS = """
import os, signal, threading, time
from bot.commands.stopping import asked_to_stop
wait = asked_to_stop()
{comes}
wait()
print("ends")
"""

HANDED_TO = {
    "another thread": "threading.Timer(0.3, lambda: signal.pthread_kill(threading.get_ident(), signal.{name})).start()",
    "the main thread": "threading.Timer(0.3, lambda: signal.pthread_kill(threading.main_thread().ident, signal.{name})).start()",
    "nobody yet": "os.kill(os.getpid(), signal.{name})",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("to", HANDED_TO)
def test_it_is_heard(number, to):
    program = WAITS.format(comes=HANDED_TO[to].format(name=number.name))
    done = subprocess.run([sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ends\n", "")


def test_another_signal_that_is_handled_does_not_end_it():
    comes = "signal.signal(signal.SIGUSR1, lambda *_: print('heard'))\n" + "\n".join(
        f"threading.Timer({wait}, lambda: os.kill(os.getpid(), signal.{name})).start()"
        for wait, name in ((0.2, "SIGUSR1"), (0.6, "SIGTERM"))
    )
    done = subprocess.run(
        [sys.executable, "-c", WAITS.format(comes=comes)], cwd=TOP, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "heard\nends\n", "")
