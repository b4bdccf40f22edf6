"""`postmortem`, `runbooks`, `sources`, `manifest`: documents."""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from bot.alerts.registry import source_named, sources, unusable
from bot.clock import wall_clock
from bot.commands.output import print_json
from bot.errors import Refused
from bot.incidents.incident import number_in
from bot.postmortems import is_draft_of, lint_words
from bot.runbooks import doubts_about_folder, lint_folder, read_folder
from bot.settings import Settings
from bot.slack.manifest import manifest
from bot.wiring import Numbers, ReadWhenAsked, open_store


def add_to(commands: Any) -> None:
    """Add the subcommands."""
    sub = commands.add_parser(
        "postmortem", help="draft a post-mortem from the timeline",
        description="Drafts an incident's post-mortem from its timeline. What people wrote in an earlier draft is kept.",
    )  # fmt: skip
    sub.add_argument("incident", help="the incident, such as INC-7")
    sub.add_argument("--template", default="default", help="a name in postmortem_templates/ (default: default)")
    sub.add_argument("--out", help="the file to write (default: standard output)")
    sub.set_defaults(run=run_postmortem)
    sub = commands.add_parser(
        "runbooks", help="look after the runbooks",
        description="Lists the runbooks, or lints them: required sections, owners, dates, links, secrets.",
    )  # fmt: skip
    sub.add_argument("action", choices=["list", "lint"], nargs="?", default="list")
    sub.add_argument("--json", action="store_true", help="machine-readable output")
    sub.set_defaults(run=run_runbooks)
    sub = commands.add_parser(
        "sources", help="which senders are known, and how to set one up",
        description="Lists the alert sources; with a name, how to point that sender at this bot.",
    )  # fmt: skip
    sub.add_argument("name", nargs="*", metavar="[show] NAME", help="the source to set up")
    sub.add_argument("--route", default="main", help="the endpoint (default: main)")
    sub.set_defaults(run=run_sources)
    sub = commands.add_parser(
        "manifest", help="the Slack app's manifest, with this bot's address",
        description="Prints the Slack app's manifest with PUBLIC_URL in it. Paste it at api.slack.com/apps.",
    )  # fmt: skip
    sub.add_argument("--socket", action="store_true", help="for Socket Mode: no address needed")
    sub.set_defaults(run=run_manifest)


def run_postmortem(given: argparse.Namespace, settings: Settings) -> int:
    """A draft."""
    number = number_in(given.incident)
    ref = f"INC-{number}" if number is not None else given.incident
    with open_store(settings) as store:
        choices = ReadWhenAsked(settings)
        names = choices.templates().names()
        if given.template not in names:
            raise Refused(f"there is no template {given.template}; there are {', '.join(names)}")
        text = Numbers(store, wall_clock, choices).draft_of(ref, given.template, _earlier(given.out, ref))
    for one in lint_words(text):
        print(f"line {one.line}: “{one.phrase}”: {one.suggestion}", file=sys.stderr)
    if not given.out:
        sys.stdout.write(text)
        return 0
    try:
        with open(given.out, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Refused(f"{given.out}: {error.strerror}") from None
    print(f"The draft of {ref} is in {given.out}.")
    return 0


def _earlier(out: str | None, ref: str) -> str | None:
    """What stands in the file already. Raises `Refused` where that is not ours to write over."""
    if not out or not Path(out).is_file():
        return None
    try:
        text = Path(out).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise Refused(f"{out} is there and cannot be read; name another file") from None
    if text.strip() and not is_draft_of(text, ref):
        raise Refused(f"{out} is no draft of {ref} with generated parts left in it; name another file, or take it away")
    return text or None


def run_runbooks(given: argparse.Namespace, settings: Settings) -> int:
    """A list, or what is wrong."""
    if not settings.runbooks_dir.is_dir():
        print(f"{settings.runbooks_dir} is no folder; set RUNBOOKS_DIR to the one with the runbooks")
        return 1
    if given.action == "lint":
        problems = [str(one) for one in lint_folder(settings.runbooks_dir)]
        doubts = [str(one) for one in doubts_about_folder(settings.runbooks_dir)]
        look = "; look whether it means what stands above" if doubts else ""
        well = [] if problems else [f"Every runbook in {settings.runbooks_dir} is well{look}."]
        if given.json:
            print_json([*problems, *doubts])
        else:
            print("\n".join([*problems, *doubts, *well]))
        return 1 if problems else 0
    today = wall_clock().date()
    found = read_folder(settings.runbooks_dir)
    if given.json:
        print_json([{"path": one.path, "title": one.title, "alerts": one.alerts, "owner": one.owner,
                     "stale_days": one.stale_days(today)} for one in found])  # fmt: skip
        return 0
    for one in found:
        stale = f"  not reviewed for {days} days" if (days := one.stale_days(today)) else ""
        print(f"{one.path:32}{', '.join(one.alerts):48}{one.owner}{stale}")
    return 0


def run_sources(given: argparse.Namespace, settings: Settings) -> int:
    """The senders, or how to set one up."""
    names = given.name[1:] if given.name[:1] == ["show"] else given.name
    if len(names) > 1:
        raise Refused(f"One source at a time: {' '.join(names)} are {len(names)}.")
    if not names:
        for one in sources().values():
            print(f"{one.name:16}{one.title}")
        for broken in unusable():
            print(f"{broken.name:16}NOT LOADED: {broken.why}")
        return 0
    source = source_named(names[0])
    secrets = settings.secrets_of(source.name, given.route)
    url = f"{settings.public_url.rstrip('/')}/hooks/{source.name}/{given.route}"
    print(source.setup.format(url=url, secret="(the secret in HOOK_SECRETS)" if secrets else "CHOOSE-A-LONG-TOKEN"))
    if not secrets:
        print(f"# Then add {source.name}/{given.route}=THAT-TOKEN to HOOK_SECRETS.")
    return 0


def run_manifest(given: argparse.Namespace, settings: Settings) -> int:
    """The manifest."""
    made = manifest(settings.public_url.rstrip("/"), settings.slack_command, socket=given.socket)
    sys.stdout.write(yaml.safe_dump(made, sort_keys=False, allow_unicode=True))
    return 0
