"""How the bot's threads share their memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HELD = """
import sys
from bot.commands.running import share_memory

if sys.argv[1:]:
    share_memory()

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

# Once something large was given back, the library by itself takes the next from among what is small.
before = held()
large = b"x" * 20_000_000
del large
large, small = [], []
for _ in range(20):
    large.append(b"x" * 3_000_000)
    small += [b"y" * 5_000 for _ in range(20)]
large.clear()
print(held() - before)
"""

COUNTED = """
import ctypes, os, sys, threading
from bot.commands.running import share_memory

share_memory()
libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_info"):
    sys.exit("no glibc")
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(9)

def takes():
    # Ours, and small: the interpreter's own pools ask for whole megabytes, from no arena.
    libc.malloc(ctypes.c_size_t(2000))
    together.wait()

threads = [threading.Thread(target=takes) for _ in range(8)]
for one in threads:
    one.start()
together.wait()
for one in threads:
    one.join()
libc.fdopen.restype = ctypes.c_void_p
libc.fflush.argtypes = [ctypes.c_void_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
out = libc.fdopen(1, b"w")
libc.malloc_info(0, out)
libc.fflush(out)
"""


def heaps(**given: str) -> int:
    """How many places a process with eight threads takes memory from."""
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"} | given
    done = subprocess.run(
        [sys.executable, "-c", COUNTED], cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=False
    )
    if "no glibc" in done.stderr:
        pytest.skip("no glibc here: nobody says where its memory comes from")
    assert done.returncode == 0, done.stderr
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's C library is told")
def test_threads_share_two_places_for_their_memory_unless_told_otherwise():
    assert heaps() == 2
    assert heaps(MALLOC_ARENA_MAX="5") == 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's C library is told")
def test_what_was_large_is_given_back():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}

    def held(*arguments: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", HELD, *arguments], cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        return int(done.stdout)

    assert held("shared") < 5_000_000
    if held() < 20_000_000:
        pytest.skip("no glibc here, or one that gives it back by itself")
