"""What runs each night is there to be run: its verbs, modules and options, and its actions are pinned."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.documents import TOP

FILE = TOP / ".github" / "workflows" / "nightly.yml"
FLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
STEPS = FLOW["jobs"]["nightly"]["steps"]
RUNS = "\n".join(step.get("run", "") for step in STEPS)


def test_it_runs_by_itself_and_when_somebody_asks():
    # YAML 1.1 reads the key `on` as true.
    starts = FLOW[True]

    assert re.fullmatch(r"[0-9]+ [0-9]+ \* \* \*", starts["schedule"][0]["cron"])
    assert "seed" in starts["workflow_dispatch"]["inputs"]
    assert FLOW["permissions"] == {"contents": "read"}


def test_every_action_is_pinned_to_a_commit():
    used = [step["uses"] for step in STEPS if "uses" in step]

    assert used
    assert [one for one in used if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", one)] == []


def test_every_verb_is_one_of_the_makefile_and_takes_what_it_is_given():
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    verbs = re.findall(r"make ([a-z-]+)((?: [A-Z]+=)*)", RUNS)

    assert {verb for verb, _ in verbs} == {"setup", "fuzz"}
    for verb, given in verbs:
        assert re.search(rf"^{verb}:.*##", makefile, flags=re.M), verb
        assert all(re.search(rf"^{name} \?=", makefile, flags=re.M) for name in re.findall(r"[A-Z]+", given))


@pytest.mark.parametrize("module", sorted(set(re.findall(r"-m (tests[a-z.]*)", RUNS))))
def test_every_module_takes_the_options_that_it_is_given(module):
    [line] = [one for one in RUNS.splitlines() if f"-m {module} " in one]
    helped = subprocess.run([sys.executable, "-m", module, "--help"], cwd=TOP, capture_output=True, text=True, timeout=60, check=True)

    assert set(re.findall(r"--[a-z-]+", line)) <= set(re.findall(r"--[a-z-]+", helped.stdout))


def test_what_a_night_finds_is_kept():
    [upload] = [step for step in STEPS if "upload-artifact" in step.get("uses", "")]

    assert "tests/fuzz/found.jsonl" in upload["with"]["path"]
    assert "cancelled" in upload["if"]
