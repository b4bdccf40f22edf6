"""Slack's requests in, answers out: Bolt verifies and sorts them, the desk decides.

`process_before_response`: Slack is answered after the decision is committed, never before.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from slack_bolt import Ack, App, BoltRequest, BoltResponse
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.signature import Clock as SignatureClock
from slack_sdk.signature import SignatureVerifier

from bot.clock import Clock
from bot.errors import GaveUp, Refused, TryLater
from bot.slack.client import Slack, error_in
from bot.slack.desk import Asker, Desk, FieldRefused, Reply
from bot.slack.views import answers, forms
from bot.slack.views.blocks import Message, notice, packed, said
from bot.store import Conflict, DatabaseDown

log = structlog.get_logger()

NOT_SAVED = "⚠️ *Not saved.* The database is away, so nothing has happened. Please try again in a moment."
ANYTHING = re.compile(".*", re.DOTALL)
CHANNEL, ANSWER = "channel", "answer"
"""What a form carries besides its own: where it was asked for, and the address at which its answer is read."""
PIN = ("pushpin", "round_pushpin")
REPLIES = 8
PATIENCE_SECONDS = 2.2
"""How long an event waits for what has to be asked of Slack: it wants an answer within three seconds."""
BROKEN = "⚠️ *Something broke in the bot, and this may not have been saved.* Look before you try again; the bot's log says more."
SAVED_ALREADY = "Your first try was saved, though its answer did not reach you. Nothing is done twice. Close this form."


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
        self._replies = ThreadPoolExecutor(REPLIES, thread_name_prefix="slack-reply")
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
        self.app.error(_bug)

    def dispatch(self, body: bytes, headers: Mapping[str, str], query: str = "") -> Response:
        """Answer one HTTP request. 401 with one short line for whatever is not signed by Slack."""
        wrong = self._unverified(body, headers)
        if wrong:
            log.warning("Slack request refused", reason=wrong)
            return Response(401, {"content-type": "text/plain"}, f"{wrong}\n".encode())
        try:
            request = BoltRequest(body=body.decode(), query=query, headers={name: [value] for name, value in headers.items()})
        except (ValueError, RecursionError, AttributeError, TypeError):
            # Bolt takes a body apart without looking at what it is.
            return Response(400, {"content-type": "text/plain"}, b"not what Slack sends\n")
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
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return "not UTF-8, which Slack never sends"
        if not self._verifier.is_valid(body=text, timestamp=timestamp, signature=signature):
            return "the signature does not fit, or is older than five minutes"
        return ""

    def close(self) -> None:
        """End the pool of replies."""
        self._replies.shutdown(wait=False, cancel_futures=True)

    # --- listeners ----------------------------------------------------------------------------

    def _command(self, ack: Ack, body: dict[str, Any]) -> None:
        trigger = str(body.get("trigger_id", ""))
        asker = Asker(body["user_id"], body["channel_id"], _once(trigger), str(body.get("response_url") or ""))
        reply = self._answered(lambda: self._desk.typed(str(body.get("text") or ""), asker))
        if reply.form is not None:
            self._open(trigger, reply.form, asker)
            ack()
            return
        message = reply.message or said("Done.")
        ack(text=message.text, blocks=list(message.blocks), response_type="ephemeral")

    def _action(self, ack: Ack, body: dict[str, Any]) -> None:
        action = (body.get("actions") or [{}])[0]
        trigger, name = str(body.get("trigger_id", "")), str(action.get("action_id", ""))
        channel = str((body.get("channel") or {}).get("id", ""))
        asker = Asker(body["user"]["id"], channel, _once(trigger, name), str(body.get("response_url") or ""))
        chosen = action.get("selected_option") or {}
        value = str(action.get("value") or chosen.get("value") or "")
        reply = self._answered(lambda: self._desk.pressed(name, value, asker))
        if reply.form is not None:
            self._open(trigger, reply.form, asker)
        elif reply.message is not None and not reply.is_repeat:
            self._whisper(asker, reply.message)
        ack()

    def _submission(self, ack: Ack, body: dict[str, Any]) -> None:
        view, person = body["view"], body["user"]["id"]
        carried = forms.metadata_of(view)
        # The form, not the press: whoever got no answer in time presses again, and that is the same wish.
        asker = Asker(person, str(carried.get(CHANNEL) or ""), f"slack:{view['id']}", str(carried.get(ANSWER) or ""))
        try:
            outcome, _ = self._desk.submitted(view, asker)
        except FieldRefused as error:
            ack(response_action="errors", errors={error.field: self._desk.refusal_in_a_form(error)})
        except Refused as error:
            ack(response_action="errors", errors={_first_field(view): self._desk.refusal_in_a_form(error)})
        except (DatabaseDown, Conflict) as error:
            log.warning("form not saved", reason=str(error))
            ack(response_action="errors", errors={_first_field(view): "Not saved: the database is away. Try again."})
        else:
            log.info("form taken", form=view.get("callback_id"), reason=outcome.decision.reason)
            if outcome.was_handled:
                ack(response_action="update", view=notice("Saved already", SAVED_ALREADY))
                return
            ack()
            self._whisper(asker, self._desk.answer(outcome))

    def _reaction(self, ack: Ack, body: dict[str, Any], event: dict[str, Any]) -> BoltResponse | None:
        """A 📌. The message has to be asked for; where that takes too long, or fails, Slack sends the event again."""
        item, channel = event.get("item") or {}, str((event.get("item") or {}).get("channel", ""))
        if event.get("reaction") not in PIN or item.get("type") != "message":
            return None
        try:
            if not self._desk.may_pin(channel, str(event.get("user"))):
                return None
            self._replies.submit(self._pin, event, item, str(body.get("event_id"))).result(PATIENCE_SECONDS)
        except (GaveUp, Refused) as error:
            log.warning("pin not taken", reason=error.reason)
        except (TryLater, DatabaseDown, Conflict, TimeoutError) as error:
            log.warning("pin not taken yet", reason=str(error) or "Slack is slow")
            return BoltResponse(status=503, body="not saved")
        return None

    def _pin(self, event: Mapping[str, Any], item: Mapping[str, Any], event_id: str) -> None:
        """Read the message, and put it on the timeline."""
        channel, ts = str(item["channel"]), str(item["ts"])
        found = self._slack.call(
            "conversations.history", channel=channel, oldest=ts, latest=f"{float(ts) + 0.000001:.6f}", limit=1,
            inclusive="true",
        )  # fmt: skip
        message: dict[str, Any] = next((one for one in found.get("messages", []) if one.get("ts") == ts), {})
        link = str(self._slack.call("chat.getPermalink", channel=channel, message_ts=ts).get("permalink", ""))
        at = datetime.fromtimestamp(float(ts), UTC)
        author = str(message.get("user") or event.get("user"))
        self._desk.pinned(channel, str(message.get("text", "")), author, link, at, f"slack:{event_id}")

    def _mention(self, ack: Ack, event: dict[str, Any], request: BoltRequest) -> None:
        asker = Asker(str(event.get("user", "")), str(event.get("channel", "")), None)
        if asker.person and "x-slack-retry-num" not in request.headers:
            self._whisper(asker, answers.helped("/incident"))
        ack()

    # --- replies ------------------------------------------------------------------------------

    def _answered(self, answer: Callable[[], Reply]) -> Reply:
        """An answer, whatever happens: why not, or that nothing was saved."""
        try:
            return answer()
        except Refused as error:
            return Reply(self._desk.refusal(error))
        except (DatabaseDown, Conflict) as error:
            log.warning("request not saved", reason=str(error))
            return Reply(said(NOT_SAVED))

    def _open(self, trigger: str, form: dict[str, Any], asker: Asker) -> None:
        """Open a form: a reply, because the trigger lives three seconds. If Slack refuses it, say so."""
        self._replies.submit(self._open_now, trigger, form, asker)

    def _open_now(self, trigger: str, form: dict[str, Any], asker: Asker) -> None:
        carried = {**forms.metadata_of(form), CHANNEL: asker.channel, ANSWER: asker.answer_url[:1000]}
        try:
            self._slack.call("views.open", trigger_id=trigger, view={**form, "private_metadata": packed(carried)})
        except (TryLater, GaveUp) as error:
            log.warning("form not opened", reason=error.reason)
            if isinstance(error, GaveUp) and error_in(error) == "exchanged_trigger_id":
                # The same request came twice: they have the form.
                return
            self._whisper_now(asker, said("Slack did not open the form. Press again, or type it: `/incident help`"))

    def _whisper(self, asker: Asker, message: Message) -> None:
        if asker.channel or asker.answer_url:
            self._replies.submit(self._whisper_now, asker, message)

    def _whisper_now(self, asker: Asker, message: Message) -> None:
        """Tell one person. Their own address first: it reaches them where the bot, or they, are no member."""
        try:
            if asker.answer_url:
                self._slack.respond(asker.answer_url, message.text, list(message.blocks))
                return
        except TryLater as error:
            log.info("answer not taken at its address", reason=error.reason)
        if not asker.channel:
            return
        try:
            self._slack.call(
                "chat.postEphemeral", channel=asker.channel, user=asker.person, text=message.text,
                blocks=list(message.blocks) or None,
            )  # fmt: skip
        except (TryLater, GaveUp) as error:
            log.warning("answer not shown", reason=error.reason)


def _once(*parts: str) -> str | None:
    """What makes a request count once; None where Slack named it by nothing, so that it is no other's repeat."""
    return ":".join(("slack", *parts)) if parts[0] else None


def _bug(error: Exception, body: dict[str, Any]) -> BoltResponse:
    """Whatever else goes wrong: the traceback to the log, never what was sent; an honest word to who typed a command."""
    log.error("bug while answering Slack", exc_info=error)
    if body.get("command"):
        return BoltResponse(status=200, body=json.dumps({"response_type": "ephemeral", "text": BROKEN}),
                            headers={"content-type": "application/json"})  # fmt: skip
    return BoltResponse(status=500, body="a bug; see the log")


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
