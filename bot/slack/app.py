"""Slack's requests in, answers out: Bolt verifies and sorts them, the desk decides.

`process_before_response`: Slack is answered after the decision is committed, never before.
"""

import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from slack_bolt import Ack, App, BoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.signature import Clock as SignatureClock
from slack_sdk.signature import SignatureVerifier

from bot.clock import Clock
from bot.errors import GaveUp, Refused, TryLater
from bot.slack.client import Slack
from bot.slack.desk import Asker, Desk, FieldRefused, Reply
from bot.slack.views import answers
from bot.slack.views.blocks import Message, said
from bot.slack.views.text import reason
from bot.store import Conflict, DatabaseDown

log = structlog.get_logger()

NOT_SAVED = "⚠️ *Not saved.* The database is away, so nothing has happened. Please try again in a moment."
ANYTHING = re.compile(".*", re.DOTALL)
PIN = ("pushpin", "round_pushpin")


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer to Slack."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Now(SignatureClock):
    """Slack's verifier asks the time of day: from our clock, so that tests can say what it is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock().timestamp()


class SlackApp:
    """Everything that comes from Slack, by HTTP (`dispatch`) or by Socket Mode (`app`)."""

    def __init__(self, *, desk: Desk, slack: Slack, signing_secret: str, command: str, wall_clock: Clock) -> None:
        self._desk, self._slack = desk, slack
        self._verifier = SignatureVerifier(signing_secret, clock=_Now(wall_clock)) if signing_secret else None
        self._replies = ThreadPoolExecutor(8, thread_name_prefix="slack-reply")
        self.app = App(
            client=slack.web,
            signing_secret=signing_secret or "unused: Socket Mode has none",
            authorize=_authorized(slack),
            process_before_response=True,
            # We verify ourselves, before: Bolt answers 500 to hostile headers and logs the body of a bad one.
            request_verification_enabled=False,
            ignoring_self_events_enabled=False,
            logger=_quiet(),
        )
        self.app.command(ANYTHING if command == "*" else command)(self._command)
        self.app.action(ANYTHING)(self._action)
        self.app.view(ANYTHING)(self._submission)
        self.app.event("reaction_added")(self._reaction)
        self.app.event("app_mention")(self._mention)
        self.app.event("message")(lambda ack: ack())

    def dispatch(self, body: bytes, headers: Mapping[str, str], query: str = "") -> Response:
        """Answer one HTTP request. 401 with one short line for whatever is not signed by Slack."""
        wrong = self._unverified(body, headers)
        if wrong:
            log.warning("Slack request refused", reason=wrong)
            return Response(401, {"content-type": "text/plain"}, f"{wrong}\n".encode())
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            return Response(400, {"content-type": "text/plain"}, b"not UTF-8\n")
        request = BoltRequest(body=text, query=query, headers={name: [value] for name, value in headers.items()})
        answer = self.app.dispatch(request)
        flat = {name: str(values[0] if isinstance(values, list) else values) for name, values in answer.headers.items()}
        return Response(answer.status, flat, (answer.body or "").encode())

    def _unverified(self, body: bytes, headers: Mapping[str, str]) -> str:
        """Why a request is not believed; empty where it is. https://docs.slack.dev/authentication/verifying-requests-from-slack"""
        if self._verifier is None:
            return "SLACK_SIGNING_SECRET is not set"
        timestamp = headers.get("x-slack-request-timestamp", "")
        signature = headers.get("x-slack-signature", "")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            return "no usable X-Slack-Request-Timestamp"
        if not signature.isascii() or len(signature) > 200:
            return "no usable X-Slack-Signature"
        if not self._verifier.is_valid(body=body, timestamp=timestamp, signature=signature):
            return "the signature does not fit, or is older than five minutes"
        return ""

    def close(self) -> None:
        """End the pool of replies."""
        self._replies.shutdown(wait=False, cancel_futures=True)

    # --- listeners ----------------------------------------------------------------------------

    def _command(self, ack: Ack, body: dict[str, Any]) -> None:
        trigger = str(body.get("trigger_id", ""))
        asker = Asker(body["user_id"], body["channel_id"], f"slack:{trigger}")
        reply = self._answered(lambda: self._desk.typed(str(body.get("text") or ""), asker))
        if reply.form is not None:
            self._open(trigger, reply.form, asker)
            ack()
            return
        message = reply.message or said("Done.")
        ack(text=message.text, blocks=list(message.blocks), response_type="ephemeral")

    def _action(self, ack: Ack, body: dict[str, Any]) -> None:
        action = (body.get("actions") or [{}])[0]
        trigger = str(body.get("trigger_id", ""))
        channel = (body.get("channel") or {}).get("id", "")
        asker = Asker(body["user"]["id"], channel, f"slack:{trigger}:{action.get('action_id')}")
        chosen = action.get("selected_option") or {}
        value = str(action.get("value") or chosen.get("value") or "")
        reply = self._answered(lambda: self._desk.pressed(str(action.get("action_id", "")), value, asker))
        if reply.form is not None:
            self._open(trigger, reply.form, asker)
        elif reply.message is not None:
            self._whisper(asker, reply.message)
        ack()

    def _submission(self, ack: Ack, body: dict[str, Any]) -> None:
        view, person = body["view"], body["user"]["id"]
        asker = Asker(person, "", f"slack:{view['id']}:{view.get('hash', '')}:{body.get('trigger_id', '')}")
        try:
            outcome, _ = self._desk.submitted(view, asker)
        except FieldRefused as error:
            ack(response_action="errors", errors={error.field: error.reason[:150]})
        except Refused as error:
            ack(response_action="errors", errors={_first_field(view): error.reason[:150]})
        except (DatabaseDown, Conflict):
            ack(response_action="errors", errors={_first_field(view): "Not saved: the database is away. Try again."})
        else:
            ack()
            log.info("form taken", form=view.get("callback_id"), reason=outcome.decision.reason)

    def _reaction(self, ack: Ack, body: dict[str, Any], event: dict[str, Any]) -> None:
        item = event.get("item") or {}
        if event.get("reaction") in PIN and item.get("type") == "message":
            self._replies.submit(self._pin, event, item, str(body.get("event_id")))
        ack()

    def _pin(self, event: Mapping[str, Any], item: Mapping[str, Any], event_id: str) -> None:
        """Read the message, and put it on the timeline."""
        channel, ts = str(item["channel"]), str(item["ts"])
        try:
            found = self._slack.call(
                "conversations.history", channel=channel, oldest=ts, latest=f"{float(ts) + 0.000001:.6f}", limit=1,
                inclusive="true",
            )  # fmt: skip
            link = str(self._slack.call("chat.getPermalink", channel=channel, message_ts=ts).get("permalink", ""))
            message: dict[str, Any] = next((one for one in found.get("messages", []) if one.get("ts") == ts), {})
            at = datetime.fromtimestamp(float(ts), UTC)
            author = str(message.get("user") or event.get("user"))
            self._desk.pinned(channel, str(message.get("text", "")), author, link, at, f"slack:{event_id}")
        except (TryLater, GaveUp, Refused, DatabaseDown) as error:
            log.warning("pin not taken", reason=str(error))

    def _mention(self, ack: Ack, event: dict[str, Any]) -> None:
        asker = Asker(str(event.get("user", "")), str(event.get("channel", "")), "")
        self._whisper(asker, answers.helped("/incident"))
        ack()

    # --- replies ------------------------------------------------------------------------------

    def _answered(self, answer: Callable[[], Reply]) -> Reply:
        """An answer, whatever happens: why not, or that nothing was saved."""
        try:
            return answer()
        except Refused as error:
            return Reply(answers.refused(reason(error.reason)))
        except (DatabaseDown, Conflict) as error:
            log.warning("request not saved", reason=str(error))
            return Reply(said(NOT_SAVED))

    def _open(self, trigger: str, form: dict[str, Any], asker: Asker) -> None:
        """Open a form: a reply, because the trigger lives three seconds. If Slack refuses it, say so."""
        self._replies.submit(self._open_now, trigger, form, asker)

    def _open_now(self, trigger: str, form: dict[str, Any], asker: Asker) -> None:
        try:
            self._slack.call("views.open", trigger_id=trigger, view=form)
        except (TryLater, GaveUp) as error:
            log.warning("form not opened", reason=error.reason)
            self._whisper_now(asker, said("Slack did not open the form. Press again, or type it: `/incident help`"))

    def _whisper(self, asker: Asker, message: Message) -> None:
        if asker.channel:
            self._replies.submit(self._whisper_now, asker, message)

    def _whisper_now(self, asker: Asker, message: Message) -> None:
        try:
            self._slack.call(
                "chat.postEphemeral", channel=asker.channel, user=asker.person, text=message.text,
                blocks=list(message.blocks) or None,
            )  # fmt: skip
        except (TryLater, GaveUp) as error:
            log.warning("answer not shown", reason=error.reason)


def _authorized(slack: Slack) -> Callable[..., AuthorizeResult]:
    """One workspace, one token; nothing is asked of Slack to answer Slack."""

    def authorize(*, enterprise_id: str | None = None, team_id: str | None = None, **given: Any) -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token=slack.web.token)

    return authorize


def _quiet() -> logging.Logger:
    """Bolt's own log, errors only: it warns of the one-workspace set-up that is meant, and can print bodies."""
    logger = logging.getLogger("firstfive.bolt")
    logger.setLevel(logging.ERROR)
    return logger


def _first_field(view: Mapping[str, Any]) -> str:
    return next((one["block_id"] for one in view.get("blocks", []) if one.get("type") == "input"), "text")
