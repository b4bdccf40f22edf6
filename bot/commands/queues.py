"""`inbox`, `outbox`: what waits and what was put aside; read or sent again, or dropped with a reason."""

import argparse
import getpass
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from bot.clock import wall_clock
from bot.commands.output import print_json
from bot.errors import Refused
from bot.handle import Door
from bot.incidents.effects import PageOnCall
from bot.incidents.inputs import Input, PageDropped
from bot.settings import Settings
from bot.slack.views.text import clean
from bot.store import Store, queues
from bot.store.codec import decode_tagged
from bot.wiring import open_store, read_policy
from bot.worker.deliveries import failure_of

SHOWN_BYTES = 4000
WAITS = (
    " Both take one that waits, too, where it was tried: `retry` lets it go out now; `drop` frees its lane, and tells what "
    "does not come about, such as a page that nobody gets."
)


def add_to(commands: Any) -> None:
    """Add the two subcommands."""
    for name, what, states, run, more in (
        ("inbox", "deliveries that came in", queues.INBOX_STATES, run_inbox, ""),
        ("outbox", "effects on their way out", queues.OUTBOX_STATES, run_outbox, WAITS),
    ):
        aside = next(iter(states))
        sub = commands.add_parser(
            name, help=f"{what}: what waits, what was put aside, and what to do with it",
            description=f"Shows {what}. `retry` puts one that is {aside} back in line; `drop` says that it is not wanted: "
            f"it is kept, with who dropped it and why.{more}",
        )  # fmt: skip
        sub.add_argument("action", choices=("list", "show", "retry", "drop"))
        sub.add_argument("number", nargs="?", type=int, help="which one, as `list` shows it")
        sub.add_argument("--state", choices=(*states, "all"), default=aside, help=f"what to list (default: {aside})")
        sub.add_argument("--limit", type=int, default=50, help="how many to list, newest first (default: 50)")
        sub.add_argument("--reason", default="", help="why it is dropped; kept with it")
        sub.add_argument("--by", default="", help="who decides (default: the user of this machine)")
        sub.add_argument("--json", action="store_true", help="machine-readable output")
        sub.set_defaults(run=run)


def run_inbox(given: argparse.Namespace, settings: Settings) -> int:
    """Deliveries."""
    with open_store(settings) as store:
        if given.action == "list":
            found = store.deliveries(_states(given.state, queues.INBOX_STATES), given.limit)
            return _listed(given, [_delivery_line(one) for one in found], [_plain(one) for one in found])
        number = _number(given)
        if given.action == "show":
            return _shown(given, _plain(store.delivery(number)))
        if given.action == "retry":
            store.read_again(number, _by(given), wall_clock())
            print(f"Delivery {number} is in line again.")
        else:
            store.drop_delivery(number, _by(given), _reason(given), wall_clock())
            print(f"Delivery {number} is dropped; it is kept, with the reason.")
    return 0


def run_outbox(given: argparse.Namespace, settings: Settings) -> int:
    """Effects."""
    with open_store(settings) as store:
        if given.action == "list":
            found = store.effects(_states(given.state, queues.OUTBOX_STATES), given.limit)
            return _listed(given, [_effect_line(one) for one in found], [_plain(one) for one in found])
        number = _number(given)
        if given.action == "show":
            return _shown(given, _plain(store.effect(number)))
        if given.action == "retry":
            store.send_again(number, _by(given), wall_clock())
            print(f"Effect {number} is in line again; where an earlier try may have arrived, it looks first.")
        else:
            _drop(store, settings, number, _by(given), _reason(given))
            print(f"Effect {number} is dropped; it is kept, with the reason.")
    return 0


def _drop(store: Store, settings: Settings, number: int, by: str, reason: str) -> None:
    """What was given up was told then. Of what still waits it is told now what does not come about, with the drop itself."""
    one = store.effect(number)
    if one.state not in queues.WAITING:
        store.drop_effect(number, by, reason, wall_clock())
        return
    policy = read_policy(settings)
    door = Door(store, wall_clock, lambda: policy, lambda: ())
    door.handle(
        _not_done(one, by, reason),
        finish=lambda work: queues.drop_effect(work.connection, number, by, reason, wall_clock(), was=one.state),
    )


def _not_done(one: queues.Effect, by: str, reason: str) -> Input:
    try:
        effect = decode_tagged({"kind": one.kind, **one.payload})
    except ValueError:
        raise Refused(f"this version cannot read effect {one.number}; drop it with the version that wrote it") from None
    if not isinstance(effect, PageOnCall):
        return failure_of(effect, f"dropped by {by}: {reason}", "")
    is_lost = one.state == "ambiguous"
    said = f"{by} dropped this page by hand before PagerDuty took it: {reason}"
    if is_lost:
        said = f"Nobody knows whether PagerDuty took this page: its answer was lost, and {by} dropped it by hand: {reason}"
    return PageDropped(effect.incident, effect.dedup_key, said.rstrip("."), may_have_arrived=is_lost)


def _states(word: str, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(state for states in known.values() for state in states) if word == "all" else known[word]


def _number(given: argparse.Namespace) -> int:
    if given.number is None:
        raise Refused(f"say which one: `bot {given.command} {given.action} NUMBER`; `bot {given.command} list` shows them")
    return int(given.number)


def _reason(given: argparse.Namespace) -> str:
    reason = " ".join(str(given.reason).split())
    if not reason:
        raise Refused('say why: --reason "…"; it is kept with what is dropped')
    return reason


def _by(given: argparse.Namespace) -> str:
    if given.by:
        return str(given.by)
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise Refused("this machine does not know who you are; say it with --by NAME") from None


def _listed(given: argparse.Namespace, lines: list[str], plain: list[dict[str, Any]]) -> int:
    if given.json:
        print_json(plain)
    else:
        print("\n".join(lines) if lines else f"Nothing is {given.state} in the {given.command}.")
    return 0


def _shown(given: argparse.Namespace, plain: dict[str, Any]) -> int:
    if given.json:
        print_json(plain)
        return 0
    for name, value in plain.items():
        if name != "by_hand":
            print(f"{name + ':':14} {_said(value)}")
    for one in plain["by_hand"]:
        why = f": {clean(one['reason'], lines=False)}" if one["reason"] else ""
        before = clean(one["before"], lines=False)
        print(f"{'by hand:':14} {one['at']}  {one['did']} by {clean(one['by'], lines=False)}{why} (was {before})")
    return 0


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return "".join(f"\n  {clean(str(name), lines=False)}: {clean(str(one), lines=False)}" for name, one in value.items())
    return clean(str(value), lines=False)


def _delivery_line(one: queues.Delivery) -> str:
    return f"{one.number:>7}  {_moment(one.received_at)}  {one.source}/{one.route}  {one.state}  {clean(one.reason, lines=False)}"


def _effect_line(one: queues.Effect) -> str:
    about = f"INC-{one.incident}" if one.incident else "–"
    tries = f"{one.attempts} tries"
    return f"{one.number:>7}  {_moment(one.created_at)}  {about}  {one.kind}  {one.state}  {tries}  {clean(one.reason, lines=False)}"


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _plain(one: queues.Delivery | queues.Effect) -> dict[str, Any]:
    plain = asdict(one)
    plain["by_hand"] = [{**decided, "at": _moment(decided["at"])} for decided in plain["by_hand"]]
    for name, value in plain.items():
        if isinstance(value, datetime):
            plain[name] = _moment(value)
    if isinstance(one, queues.Delivery):
        text = one.body[:SHOWN_BYTES].decode("utf-8", errors="replace")
        plain["body"] = text + ("…" if len(one.body) > SHOWN_BYTES else "")
    return plain
