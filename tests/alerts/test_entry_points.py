"""A source of another package: what docs/how-to/add-an-alert-source.md says, done as it says."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-an-alert-source.md"
TOP = Path(__file__).parents[2]


def block(kind: str) -> str:
    """The page's block of code of that kind."""
    [found] = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.S | re.M)
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is in once it is installed: its module, and what pip writes of it."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads(block("toml"))["project"]
    [(group, points)] = project["entry-points"].items()
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{name} = {at}\n" for name, at in points.items()))
    (folder / "firstfive_buildbox.py").write_text(block("python"), encoding="utf-8")
    return folder


def bot(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{installed}:{TOP}", "HOOK_SECRETS": "buildbox/main=s3cret-77"}
    command = [sys.executable, "-m", "bot", *arguments]
    return subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_it_takes_fewer_than_sixty_lines():
    assert len([line for line in block("python").splitlines() if line.strip()]) < 60


def test_it_is_known_and_says_how_to_set_it_up(installed):
    listed = bot(installed, "sources")
    told = bot(installed, "sources", "buildbox")

    assert "buildbox" in listed.stdout, listed.stderr
    assert "buildbox notify --url" in told.stdout, told.stderr
    assert "buildbox/main" in told.stdout


@pytest.mark.parametrize(("state", "status"), [("failed", "firing"), ("passed", "resolved")])
def test_it_is_read_as_the_page_says(installed, tmp_path, state, status):
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"build": "nightly", "state": state, "level": "high", "at": "2026-08-01T10:00:00Z"}))

    told = bot(installed, "explain", "buildbox", str(body), "--json")

    assert told.returncode == 0, told.stderr
    [alert] = json.loads(told.stdout)["alerts"]
    assert (alert["status"], alert["severity"], alert["identity"], alert["defaults"]) == (status, "high", "nightly", [])


def test_what_holds_for_our_own_sources_holds_for_it(installed):
    """The very tests that run over ours."""
    checks = installed / "checks.py"
    checks.write_text(
        "from datetime import UTC, datetime\n"
        "from bot.alerts.registry import source_named\n"
        "from bot.errors import Unreadable, Unverified\n"
        "from bot.alerts.source import Delivery\n"
        "from tests.alerts import test_sources as ours\n"
        "source = source_named('buildbox')\n"
        "for example in source.examples:\n"
        "    ours.test_an_example_is_read_as_what_it_says_it_is(source, example)\n"
        "ours.test_its_own_signature_is_trusted_during_a_rotation_too(source)\n"
        "for secrets in ([], ['other']):\n"
        "    ours.test_no_secret_or_another_one_is_refused_without_naming_it(source, secrets)\n"
        "ours.test_an_unsigned_delivery_is_refused(source)\n"
        "print('all of it')\n",
        encoding="utf-8",
    )
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{installed}:{TOP}"}
    done = subprocess.run(
        [sys.executable, str(checks)], cwd=installed, env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout.strip() == "all of it", done.stderr


# --- packages that are broken -----------------------------------------------------------------


def brings(folder: Path, package: str, module: str, code: str) -> None:
    """Install a package whose module's SOURCE is to be a source, under the module's name."""
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[firstfive.sources]\n{module.removeprefix('its_')} = {module}:SOURCE\n")
    (folder / f"{module}.py").write_text(code, encoding="utf-8")


NAMED = "from bot.alerts.sources.generic import Generic\nclass Its(Generic):\n    name, title = {name!r}, {name!r}\nSOURCE = Its()\n"
BROKEN = {
    "its_away": "import nowhere\n",
    "its_torn": "def (\n",
    "its_gone": "raise SystemExit('not here')\n",
    "its_empty": "OTHER = 1\n",
    "its_half": "class Half:\n    name = 'half'\nSOURCE = Half()\n",
    "its_odd": NAMED.format(name="a/b"),
    "its_thief": NAMED.format(name="github"),
    "its_twin": NAMED.format(name="buildbox"),
}


@pytest.fixture(scope="module")
def broken(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder, and beside the package that works others that do not."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(installed, folder, dirs_exist_ok=True)
    for module, code in BROKEN.items():
        brings(folder, f"firstfive_{module.removeprefix('its_')}", module, code)
    return folder


def test_what_cannot_be_loaded_is_listed_with_why_and_the_others_go_on(broken):
    listed = bot(broken, "sources")

    assert (listed.returncode, listed.stderr) == (0, "")
    lines = {line.split()[0]: line for line in listed.stdout.splitlines()}
    assert {"github", "buildbox", "alertmanager"} <= set(lines)
    assert "NOT LOADED" not in lines["buildbox"] + lines["github"]
    for name, why in {
        "away": "ModuleNotFoundError: No module named 'nowhere'", "torn": "SyntaxError", "gone": "SystemExit: not here",
        "empty": "AttributeError", "half": "it has no title, identity_window_seconds,", "odd": "'a/b' is no name for a source",
        "thief": "github is a source of ours", "twin": "firstfive-buildbox 1.0 brings a source called buildbox, too",
    }.items():  # fmt: skip
        assert f"NOT LOADED: firstfive-{name} 1.0: " in lines[name], listed.stdout
        assert why in lines[name], listed.stdout


def test_the_check_says_so_of_each_and_how_to_mend_it(broken):
    told = bot(broken, "check", "--offline", "--json")
    found = [one for one in json.loads(told.stdout) if one["subject"] == "alert source"]

    assert told.returncode == 1
    assert [one["text"].split()[0] for one in found] == sorted(one.removeprefix("its_") for one in BROKEN)
    assert all(not one["ok"] and "pip" in one["mend"] for one in found)


def test_every_command_works_beside_it_and_a_policy_may_still_name_it(broken, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("routes:\n  - name: a\n    match: {source: away}\n    severity: SEV2\nlimits:\n  sources: {away: 5/m}\n")
    checked = bot(broken, "policy", "check", str(policy))
    asked = bot(broken, "sources", "away")

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert asked.returncode == 2
    assert asked.stderr.startswith("away cannot be used: firstfive-away 1.0: ModuleNotFoundError"), asked.stderr
