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


PACKAGES = ("prometheus", "prometheus-alertmanager", "netdata-core", "netdata-plugins-bash")


def asked_of_ci(folder: Path, *parts: str) -> str:
    """What `.ci/run` says is missing in a folder that has these parts; every program that is asked for is there."""
    given, programs = folder / ".cache", folder / "bin"
    for name in ("curl", "jq", "unshare"):
        executable(programs / name)
    for part in parts:
        executable(given / part)
    function = 'eval "$(sed -n "/^packages=/p; /^missing_sender() {/,/^}/p" "$0")"; missing_sender'
    environment = {"PATH": f"{programs}:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-euc", function, str(TOP / ".ci" / "run")], cwd=folder, env=environment, capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    return done.stdout.strip()


def executable(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


EVERYTHING = (*(f"real/{one}_1.0_amd64.deb" for one in PACKAGES), "real/unpacked/x", "senders/bin/elastalert", "senders/bin/python")


@pytest.mark.parametrize(
    ("without", "missing"),
    [
        (None, ""),
        ("real/prometheus_1.0_amd64.deb", "prometheus"),
        ("real/netdata-core_1.0_amd64.deb", "netdata-core"),
        ("senders/bin/elastalert", "ElastAlert 2"),
    ],
)
def test_where_every_sender_could_be_had_the_ci_lets_none_be_skipped(tmp_path: Path, without: str | None, missing: str):
    assert asked_of_ci(tmp_path, *(one for one in EVERYTHING if one != without)) == missing
