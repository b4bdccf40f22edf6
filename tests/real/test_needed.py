"""A real sender that is missing: its story is skipped and counted, and a failure where all of them have to be there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.conftest import NEEDED
from tests.real.senders import TOP

STORY = "tests/real/test_prometheus.py"


@pytest.mark.parametrize(("needed", "code", "says"), [("", 0, "0 stories told, 3 skipped"), ("1", 1, f"{NEEDED} is set: install it")])
def test_a_missing_sender_is_counted_or_a_failure(tmp_path: Path, needed: str, code: int, says: str):
    # Nothing is to be found: neither unpacked, nor on the PATH.
    nowhere = {"PATH": str(tmp_path), "FIRSTFIVE_REAL": str(tmp_path), "HOME": os.environ.get("HOME", str(tmp_path)), NEEDED: needed}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", STORY], cwd=TOP, env=nowhere, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stdout
    assert "no prometheus" in done.stdout or needed == ""
