"""What a newcomer asks first."""

import pytest

from bot.commands.parser import build, documented

NAMES = (
    "serve", "web", "worker", "migrate", "check", "explain", "send", "import", "export", "metrics", "digest", "postmortem",
    "runbooks", "sources", "manifest", "inbox", "outbox", "policy", "changes", "findings",
)  # fmt: skip


def test_without_a_subcommand_the_help_is_shown_and_nothing_is_done(empty):
    told = empty()

    assert (told.code, told.out) == (2, "")
    assert told.err == empty("--help").out
    assert list(empty.folder.iterdir()) == []


def test_the_help_names_every_subcommand_with_what_it_does(empty):
    told = empty("--help")

    assert told.code == 0
    listed = {line.split()[0] for line in told.out.splitlines() if line.startswith("    ") and line[4] != " "}
    assert listed == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_subcommand_explains_itself_and_every_option(name, capsys):
    with pytest.raises(SystemExit) as ended:
        build().parse_args([name, "--help"])

    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert told.startswith(f"usage: firstfive {name}")
    assert f"## {name}\n" in documented()
    about = told.split("\n\n")[1]
    assert about[0].isupper()
    assert about.rstrip().endswith(".")


@pytest.mark.parametrize("arguments", [("metric",), ("metrics", "--wek", "2026-W01"), ("explain",), ("runbooks", "dance")])
def test_what_is_no_subcommand_or_option_is_refused_with_the_usage(empty, arguments):
    told = empty(*arguments)

    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("usage: ")
    assert "Traceback" not in told.err
