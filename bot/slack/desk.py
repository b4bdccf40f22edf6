"""The desk: what people ask of the bot in Slack becomes an input, and what comes of it an answer to them alone.

The decision is committed before there is an answer. A refusal is a sentence that says what to do.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.digest import Digest
from bot.errors import Refused
from bot.handle import Door, Outcome
from bot.incidents.changes import OF_THE_SERVICE, before_the_start
from bot.incidents.incident import Incident, Role, Severity, Status, number_in
from bot.incidents.inputs import (
    Acknowledge,
    AddNote,
    AssignRole,
    Cancel,
    ChangeSeverity,
    ChangeStatus,
    Close,
    ConfirmSilence,
    Declare,
    EndSilence,
    Escalate,
    GivePageFeedback,
    Input,
    KeepOpen,
    Merge,
    PageSomeone,
    PostUpdate,
    Reopen,
    RequestDraft,
    Resolve,
    SilenceAlerts,
    Split,
)
from bot.incidents.lifecycle import check_open
from bot.incidents.policy import span
from bot.runbooks import Runbook
from bot.slack import commands, ids, silencing
from bot.slack.commands import Request, Unknown
from bot.slack.views import answers, forms
from bot.slack.views import changes as change_views
from bot.slack.views import silences as silence_views
from bot.slack.views.blocks import Message, View, context, link, said, section
from bot.slack.views.card import started_at
from bot.slack.views.text import as_typed, clean, defused, escape, fit, reason
from bot.store import Store

LOOKS = frozenset({"help", "list", "who", "timeline", "alerts", "changes", "runbook", "silences"})
"""What guests of the workspace may do: look, as far as the buttons let them."""
MOST_NAMED = 5
"""Open incidents that are named where it is not clear which is meant."""
LOOKS_BACK = re.compile(r"[0-9]{1,6}[smhd]")
MOST_BACK = timedelta(days=90)
ROLE_WORDS = frozenset({"me", "to", "is", "for", "as", "the"})


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, where, and with what: `once` makes a request count once, `answer_url` reaches them wherever they are."""

    person: str
    channel: str
    once: str | None
    answer_url: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What they see: a message to them alone, or a form. With `is_repeat` the same request was answered before."""

    message: Message | None = None
    form: View | None = None
    is_repeat: bool = False


class Desk:
    """Answers commands, presses and forms. Talks to nobody but the door and the record."""

    def __init__(
        self,
        *,
        door: Door,
        command: str,
        digest_for: Callable[[str], Digest],
        week_of: Callable[[datetime], str],
        templates: Callable[[], tuple[str, ...]],
    ) -> None:
        self._door, self._command = door, command
        self._store: Store = door.store
        self._digest_for, self._week_of, self._templates = digest_for, week_of, templates
        self._subs: dict[str, Callable[[Request, Asker], Reply]] = {
            "declare": self._declare, "ack": self._simple(Acknowledge), "escalate": self._simple(Escalate),
            "page": self._page, "sev": self._sev, "status": self._status, "role": self._role, "note": self._note,
            "update": self._update, "timeline": self._timeline, "alerts": self._alerts, "changes": self._changes, "who": self._who,
            "list": self._list, "merge": self._merge, "split": self._split, "resolve": self._resolve,
            "reopen": self._reopen, "cancel": self._cancel,
            "close": self._simple(Close), "postmortem": self._postmortem, "runbook": self._runbook,
            "silence": self._silence, "silences": self._silences,
            "metrics": self._digest, "digest": self._digest, "help": self._help,
        }  # fmt: skip

    # --- commands -----------------------------------------------------------------------------

    def typed(self, text: str, asker: Asker) -> Reply:
        """Answer `/incident TEXT`."""
        request = commands.read(as_typed(text))
        if isinstance(request, Unknown):
            return Reply(answers.unknown(self._command, request.word, request.near))
        if request.sub.name not in LOOKS:
            self._refuse_guest(asker.person)
        return self._subs[request.sub.name](self._as_meant(request, asker), asker)

    def _as_meant(self, request: Request, asker: Asker) -> Request:
        """In an incident's channel words are words. Elsewhere a reference that closes them names the incident.

        A number alone (`note 7 pods restart`) may be either: then we ask, rather than write to the wrong incident.
        """
        has_number = bool(request.words) and request.words[0].isdigit() and request.sub.name in ("note", "update", "resolve")
        if request.number is not None or not (request.elsewhere or has_number):
            return request
        if self._store.incident_in_channel(asker.channel) is not None:
            return request
        if request.elsewhere is None:
            first, sub = request.words[0][:9], request.sub.name
            raise Refused(f"Which incident? If you mean INC-{first}: `{self._command} {sub} INC-{first} …`.")
        return request.elsewhere

    def _refuse_guest(self, person: str) -> None:
        known = self._store.person(person)
        if known is not None and known.is_guest:
            raise Refused("Guests of this workspace can look at incidents, not change them. Ask a member to do it.")

    def _declare(self, request: Request, asker: Asker) -> Reply:
        flags = {word.lower() for word in request.words if word.lower() in ("--private", "--drill")}
        words = tuple(word for word in request.words if word.lower() not in flags)
        severity, words = commands.severity_in(words, is_certain=True)
        service, words = self._service_in(words)
        title = self.without_mentions(" ".join(words))
        if not title:
            return Reply(form=forms.declare(self._policy(), service=service))
        wish = Declare(
            title=title, by=asker.person, severity=severity, service=service, private="--private" in flags,
            drill="--drill" in flags,
        )  # fmt: skip
        return self._handled(wish, asker)

    def _service_in(self, words: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
        """`service:x` names it and goes; a title that begins with a service's name names it and stays."""
        for index, word in enumerate(words):
            if word.lower().startswith("service:") and len(word) > 8:
                return word[8:], (*words[:index], *words[index + 1 :])
        first = words[0].lower() if words else ""
        return self._policy().aliases().get(first), words

    def without_mentions(self, text: str) -> str:
        """Text for where Slack shows no people: each by name."""

        def name(found: re.Match[str]) -> str:
            known = self._store.person(found[1])
            return f"@{known.real_name or known.name}" if known and (known.real_name or known.name) else "@somebody"

        return commands.MENTION.sub(name, text)

    def _simple(self, make: Callable[[int, str], Input]) -> Callable[[Request, Asker], Reply]:
        def answer(request: Request, asker: Asker) -> Reply:
            incident = self._meant(request.number, asker)
            return self._handled(make(incident.number, asker.person), asker)

        return answer

    def _page(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker)
        if not request.words:
            return Reply(form=forms.page(incident, self._policy()))
        person, rest = commands.person_in(request.words, asker.person)
        if person is not None:
            return self._handled(PageSomeone(incident.number, asker.person, person=self._found(person)), asker)
        return self._handled(PageSomeone(incident.number, asker.person, service=rest[0].removeprefix("service:")), asker)

    def _sev(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker)
        severity, _ = commands.severity_in(request.words, is_certain=False)
        if severity is None and not request.words:
            return Reply(form=forms.severity(incident, self._policy()))
        if severity is None:
            raise Refused(f"A severity is 1 to 5, or SEV1 to SEV5. `{self._command} sev 2`")
        return self._handled(ChangeSeverity(incident.number, severity, asker.person), asker)

    def _status(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker)
        if not request.words:
            return Reply(form=forms.status(incident))
        status, rest = commands.status_in(request.words)
        if status is None:
            near = commands.likely(request.words[0], commands.STATUSES)
            raise Refused(
                f"“{defused(request.words[0][:40])}” is no status.{near} There are investigating, identified and monitoring; "
                f"resolve, close and cancel have commands of their own."
            )
        return self._handled(ChangeStatus(incident.number, status, asker.person, " ".join(rest)), asker)

    def _role(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker)
        role, words = commands.role_in(request.words)
        person, _ = commands.person_in(words, asker.person)
        if not request.words:
            return Reply(form=forms.role(incident))
        if role is None:
            near = next(filter(None, (commands.likely(word, commands.ROLES) for word in words if not word.startswith("@"))), "")
            raise Refused(f"Which role?{near} There are {', '.join(one.value for one in Role)}. `{self._command} role scribe @ben`")
        unread = [word for word in words if not commands.MENTION.match(word) and word.lower() not in ROLE_WORDS]
        if person is None and unread:
            raise Refused(f"Who is “{defused(unread[0][:40])}”? Pick the name from Slack's list while typing @, or say `me`.")
        who = self._found(person) if person else asker.person
        return self._handled(AssignRole(incident.number, role, who, asker.person), asker)

    def _note(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker)
        if not request.words:
            return Reply(form=forms.note(incident))
        return self._handled(AddNote(incident.number, request.text, asker.person), asker)

    def _update(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker)
        if not request.words:
            return Reply(form=forms.update(incident, self._policy()))
        text, minutes = commands.promise_in(request.text)
        return self._handled(PostUpdate(incident.number, text, asker.person, minutes), asker)

    def _merge(self, request: Request, asker: Asker) -> Reply:
        numbers = commands.references_in(request.words)
        if not numbers:
            incident = self._meant(None, asker)
            return Reply(form=forms.merge(incident))
        if len(numbers) > 2:
            raise Refused(f"One into one, please: `{self._command} merge INC-{numbers[0]} into INC-{numbers[1]}`.")
        child = self._meant(numbers[0] if len(numbers) > 1 else None, asker).number
        return self._handled(Merge(child, self._meant(numbers[-1], asker).number, asker.person), asker)

    def _split(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker, only_open=False)
        if request.text or incident.status is Status.MERGED:
            return self._handled(Split(incident.number, request.text, asker.person), asker)
        return self._form_to_split(incident)

    def _form_to_split(self, incident: Incident) -> Reply:
        """The form; where there is nothing to choose from, why not."""
        check_open(incident)
        if not incident.can_lose_one:
            what = "no second alert" if incident.alerts else "no alert"
            raise Refused(f"{incident.ref} has {what}: there is nothing to take out of it.")
        return Reply(form=forms.split(incident))

    def _resolve(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker)
        return self._handled(Resolve(incident.number, asker.person, request.text), asker)

    def _reopen(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker, only_open=False)
        return self._handled(Reopen(incident.number, asker.person, request.text), asker)

    def _cancel(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker)
        found = next((commands.REASONS[word] for word in map(str.lower, request.words) if word in commands.REASONS), None)
        if request.words and found is None:
            raise Refused("A reason to cancel is one of: false positive, duplicate, external, drill.")
        return self._handled(Cancel(incident.number, asker.person, found or "false_positive"), asker)

    def _postmortem(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker, only_open=False)
        template = request.words[0].lower() if request.words else self._policy().rule(incident.severity).template
        if template not in self._templates():
            near = commands.likely(template, self._templates())
            raise Refused(f"There is no template “{defused(template[:40])}”.{near} There are {', '.join(self._templates())}.")
        return self._handled(RequestDraft(incident.number, asker.person, template), asker)

    def _timeline(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker, only_open=False)
        return Reply(self._timeline_of(incident, 0))

    def _alerts(self, request: Request, asker: Asker) -> Reply:
        return Reply(self._alerts_of(self._meant(request.number, asker, only_open=False), 0))

    def _changes(self, request: Request, asker: Asker) -> Reply:
        """Before the start of the incident that is named, or whose channel this is; else lately, of a service or of all."""
        now, words = self._now(), [re.sub(r"(?i)^service[:=]", "", word) for word in request.words]
        if request.number is None and (words or self._store.incident_in_channel(asker.channel) is None):
            within = OF_THE_SERVICE
            if words and LOOKS_BACK.fullmatch(words[-1]):
                within = span(words.pop())
                if not timedelta() < within <= MOST_BACK:
                    raise Refused(f"How far back? From `1m` to `{MOST_BACK.days}d`: `/incident changes checkout 7d`")
            return Reply(self._changes_lately(" ".join(words), within, now))
        incident = self._meant(request.number, asker, only_open=False)
        start = started_at(incident)
        known = self._store.changes_before(incident.service, start)
        found = before_the_start(known, incident.service, start, len(known))
        return Reply(change_views.before(incident, found, start, now, is_told=self._store.is_told_of_changes(now)))

    def _changes_lately(self, named: str, within: timedelta, now: datetime) -> Message:
        aliases = self._policy().aliases()
        service = aliases.get(named.lower(), named) or None
        found, total = self._store.changes_since(now - within, service, change_views.MOST_LISTED)
        is_unknown = service is not None and not total and named.lower() not in aliases
        hint = commands.likely(named, aliases) if is_unknown else ""
        is_told = self._store.is_told_of_changes(now)
        return change_views.lately(service, found, total, now, is_told=is_told, hint=hint, within=within)

    def _who(self, request: Request, asker: Asker) -> Reply:
        try:
            incident = self._meant(request.number, asker, only_open=False)
        except Refused as error:
            if request.number is not None:
                raise
            # No incident is clearly meant: then who is on call may be what they want to know.
            return Reply(answers.on_call(self._store.on_call(), self._now(), reason(error.reason, self._command)))
        return Reply(answers.who(incident, self._now(), self._store.on_call()))

    def _list(self, request: Request, asker: Asker) -> Reply:
        worst, total = self._store.worst_open(answers.MOST_LISTED)
        return Reply(answers.listed(worst, total, self._now()))

    def _silence(self, request: Request, asker: Asker) -> Reply:
        asked = request.words[0].lower() if request.words else "list"
        if asked in ("list", "ls") and len(request.words) <= 1:
            return self._silences(request, asker)
        if asked in ("end", "stop", "expire"):
            number = silencing.number_of(request.words)
            if number is None:
                raise Refused(f"Which one? `{self._command} silence end 3`; `{self._command} silences` shows those in force.")
            return self._handled(EndSilence(number=number, by=asker.person, reason=" ".join(request.words[2:])), asker)
        if asked == "confirm":
            number = silencing.number_of(request.words)
            if number is None and len(request.words) > 1:
                raise Refused(f"Confirm it by its number, `{self._command} silence confirm 3`, or with nothing behind it.")
            return self._handled(ConfirmSilence(number=number, by=asker.person), asker)
        wish = silencing.read(request.text)
        hint = f"{self._unheard(wish)}{silencing.as_it_stands(wish.match)}"
        outcome = self._door.handle(
            SilenceAlerts(match=wish.match, lasts=wish.lasts, reason=wish.reason, by=asker.person), once=asker.once
        )
        return Reply(self.answer(outcome, hint), is_repeat=outcome.was_handled)

    def _unheard(self, wish: silencing.Wish) -> str:
        """That a service is silenced of which nothing was ever heard; empty where something was."""
        aliases = self._policy().aliases()
        in_routes = [one for route in self._policy().built_routes() for one in route.match.fields.get("service", ())]
        unknown = silencing.services_but(wish.match, (*aliases, *aliases.values(), *in_routes))
        unheard = silencing.services_but(wish.match, self._store.services_heard()) if unknown else ()
        named = next((one for one in unknown if one in unheard), None)
        if named is None:
            return ""
        likely = commands.likely(named, aliases)
        return f" No alert has come under a service {defused(named[:60])} so far, and the catalogue has none.{likely}"

    def _silences(self, request: Request, asker: Asker) -> Reply:
        now, windows = self._now(), self._policy().windows()
        open_ = [one for one in windows if one.time.has(now)]
        shown = silence_views.listed(self._store.silences(now), open_, self._store.quieted(), now, self._command)
        return Reply(shown)

    def _runbook(self, request: Request, asker: Asker) -> Reply:
        incident = self._meant(request.number, asker, only_open=False)
        return Reply(self._runbook_of(incident))

    def _runbook_of(self, incident: Incident) -> Message:
        if not incident.runbook:
            return said(f"📕 No runbook for {incident.ref}. {escape(incident.runbook_reason, 300)}")
        found = next((one for one in self._door.runbooks() if one.path == incident.runbook), None)
        if found is None:
            shown = link(incident.runbook, "Open the runbook") or escape(incident.runbook, 200)
            return said(f"📗 {shown}", context(escape(incident.runbook_reason, 300)))
        return _runbook_message(found, incident.runbook_reason)

    def _digest(self, request: Request, asker: Asker) -> Reply:
        week = commands.week_in(request.words) or self._week_of(self._now())
        if request.words and commands.week_in(request.words) is None:
            raise Refused(f"A week is written like {week}. `{self._command} {request.sub.name} {week}`")
        if not commands.is_week(week):
            raise Refused(f"There is no week {week}. `{self._command} {request.sub.name}` shows this one.")
        return Reply(answers.digest(self._digest_for(week)))

    def _help(self, request: Request, asker: Asker) -> Reply:
        if not request.words:
            return Reply(answers.helped(self._command))
        asked = commands.read(request.words[0])
        if isinstance(asked, Unknown):
            return Reply(answers.unknown(self._command, asked.word, [f"help {one}" for one in asked.near]))
        return Reply(answers.helped(self._command, asked.sub))

    # --- buttons ------------------------------------------------------------------------------

    def pressed(self, action_id: str, value: str, asker: Asker) -> Reply:
        """Answer a press on a message."""
        action = ids.base_of(action_id)
        if action == ids.MORE:
            action, _, value = value.partition(":")
        if action == ids.LINK:
            return Reply()
        if action not in (ids.TIMELINE, ids.TIMELINE_PAGE, ids.ALERTS, ids.ALERTS_PAGE, ids.WHO, ids.RUNBOOK):
            self._refuse_guest(asker.person)
        if action == ids.DECLARE:
            return self._declare_announced(value)
        if action in (ids.CONFIRM_SILENCE, ids.END_SILENCE):
            return self._handled(_about_silence(action, value, asker), asker)
        number, _, page = value.partition(":")
        incident = self._seen(self._numbered(number), asker)
        shown = self._shown(action, incident, int(page) if page.isdigit() else 0)
        return shown or self._handled(self._input_of(action, incident, asker), asker)

    def _declare_announced(self, fingerprint: str) -> Reply:
        with self._store.reading() as work:
            record = work.alert_record(fingerprint)
        if record is None:
            raise Refused(f"That alert has cleared. `{self._command} declare` opens an incident all the same.")
        if record.incident is not None:
            raise Refused(f"That alert is part of INC-{record.incident} already.")
        return Reply(form=forms.declare(self._policy(), record.title, record.service, fingerprint))

    def _shown(self, action: str, incident: Incident, page: int) -> Reply | None:
        """What a press only shows: a list, or a form."""
        policy = self._policy()
        views: dict[str, Callable[[], Reply]] = {
            ids.UPDATE: lambda: Reply(form=forms.update(incident, policy)),
            ids.NOTE: lambda: Reply(form=forms.note(incident)),
            ids.ROLES: lambda: Reply(form=forms.role(incident)),
            ids.SEVERITY: lambda: Reply(form=forms.severity(incident, policy)),
            ids.STATUS: lambda: Reply(form=forms.status(incident)),
            ids.RESOLVE: lambda: Reply(form=forms.resolve(incident)),
            ids.MERGE: lambda: Reply(form=forms.merge(incident)),
            ids.SPLIT: lambda: self._form_to_split(incident),
            ids.PAGE: lambda: Reply(form=forms.page(incident, policy)),
            ids.WHO: lambda: Reply(answers.who(incident, self._now(), self._store.on_call())),
            ids.RUNBOOK: lambda: Reply(self._runbook_of(incident)),
            ids.TIMELINE: lambda: Reply(self._timeline_of(incident, 0)),
            ids.TIMELINE_PAGE: lambda: Reply(self._timeline_of(incident, page)),
            ids.ALERTS: lambda: Reply(self._alerts_of(incident, 0)),
            ids.ALERTS_PAGE: lambda: Reply(self._alerts_of(incident, page)),
        }
        return views[action]() if action in views else None

    def _timeline_of(self, incident: Incident, page: int) -> Message:
        shown, total = self._store.timeline_page(incident.ref, page, answers.PAGE_LINES)
        return answers.timeline(incident, shown, total, page)

    def _alerts_of(self, incident: Incident, page: int) -> Message:
        shown, total = self._store.alerts_page(incident.number, page, answers.PAGE_LINES)
        return answers.alerts(incident, shown, total, self._now(), page)

    def _input_of(self, action: str, incident: Incident, asker: Asker) -> Input:
        number, by = incident.number, asker.person
        inputs: dict[str, Callable[[], Input]] = {
            ids.ACKNOWLEDGE: lambda: Acknowledge(number, by),
            ids.ESCALATE: lambda: Escalate(number, by),
            ids.RESOLVE_NOW: lambda: Resolve(number, by),
            ids.KEEP_OPEN: lambda: KeepOpen(number, by),
            ids.REOPEN: lambda: Reopen(number, by),
            ids.POSTMORTEM: lambda: RequestDraft(number, by, self._policy().rule(incident.severity).template),
            ids.PAGE_USEFUL: lambda: GivePageFeedback(number, by, True),
            ids.PAGE_USELESS: lambda: GivePageFeedback(number, by, False),
        }
        if action not in inputs:
            raise Refused("That button belongs to an older version of the bot. Use the newest card.")
        return inputs[action]()

    # --- forms --------------------------------------------------------------------------------

    def submitted(self, view: Mapping[str, Any], asker: Asker) -> tuple[Outcome, str]:
        """Take a form; what came of it, and the field that an error belongs to. Raises `Refused` and `FieldRefused`."""
        self._refuse_guest(asker.person)
        input, blame = self._input_from(view, asker)
        try:
            return self._door.handle(input, once=asker.once), blame
        except Refused as error:
            raise FieldRefused(error.reason, blame) from None

    def _input_from(self, view: Mapping[str, Any], asker: Asker) -> tuple[Input, str]:
        def value(name: str) -> str:
            return forms.value_of(view, name)

        by, number = asker.person, forms.incident_of(view)
        match view.get("callback_id"):
            case ids.DECLARE_FORM:
                return self._declare_from(view, by), ids.TITLE
            case ids.UPDATE_FORM:
                minutes = int(value(ids.NEXT)) if value(ids.NEXT).isdigit() else None
                return PostUpdate(number, value(ids.TEXT), by, minutes), ids.TEXT
            case ids.NOTE_FORM:
                return AddNote(number, value(ids.TEXT), by), ids.TEXT
            case ids.ROLE_FORM:
                if not value(ids.PERSON):
                    raise FieldRefused("Choose a person.", ids.PERSON)
                return AssignRole(number, Role(_chosen(value, ids.ROLE, Role)), value(ids.PERSON), by), ids.ROLE
            case ids.SEVERITY_FORM:
                return ChangeSeverity(number, Severity(_chosen(value, ids.SEVERITY_FIELD, Severity)), by), ids.SEVERITY_FIELD
            case ids.STATUS_FORM:
                moved = Status(_chosen(value, ids.STATUS_FIELD, Status))
                return ChangeStatus(number, moved, by, value(ids.TEXT)), ids.STATUS_FIELD
            case ids.RESOLVE_FORM:
                return Resolve(number, by, value(ids.TEXT)), ids.TEXT
            case ids.MERGE_FORM:
                into = number_in(value(ids.INTO))
                if into is None:
                    raise FieldRefused("Write an incident's number, such as INC-7.", ids.INTO)
                return Merge(number, into, by), ids.INTO
            case ids.SPLIT_FORM:
                if not value(ids.ALERT):
                    raise FieldRefused("Choose an alert.", ids.ALERT)
                return Split(number, value(ids.ALERT), by, value(ids.TEXT)), ids.ALERT
            case ids.PAGE_FORM:
                person, service = value(ids.PERSON), value(ids.SERVICE)
                if not person and not service:
                    raise FieldRefused("Choose a person or a service.", ids.PERSON)
                return PageSomeone(number, by, person=person or None, service=None if person else service), ids.PERSON
            case _:
                raise Refused("That form belongs to an older version of the bot. Open it again.")

    def _declare_from(self, view: Mapping[str, Any], by: str) -> Input:
        severity = forms.value_of(view, ids.SEVERITY_FIELD)
        return Declare(
            title=forms.value_of(view, ids.TITLE),
            by=by,
            severity=Severity(_chosen(lambda name: severity, ids.SEVERITY_FIELD, Severity)) if severity else None,
            service=forms.value_of(view, ids.SERVICE) or None,
            details=forms.value_of(view, ids.DETAILS),
            private=forms.value_of(view, ids.PRIVATE) == "private",
            fingerprint=str(forms.metadata_of(view).get("fingerprint") or "") or None,
        )

    # --- reactions ----------------------------------------------------------------------------

    def may_pin(self, channel: str, person: str) -> bool:
        """Whether a 📌 of theirs there puts anything on a timeline."""
        known = self._store.person(person)
        return self._store.incident_in_channel(channel) is not None and not (known is not None and known.is_guest)

    def pinned(self, channel: str, text: str, person: str, link_: str, at: datetime, once: str) -> None:
        """A 📌 on a message of an incident's channel puts it on the timeline, at the time it was said."""
        incident = self._store.incident_in_channel(channel)
        if incident is not None and text.strip():
            self._door.handle(AddNote(incident.number, as_typed(text)[:2800], person, link=link_ or None, at=at), once=once)

    # --- shared -------------------------------------------------------------------------------

    def _handled(self, input: Input, asker: Asker) -> Reply:
        outcome = self._door.handle(input, once=asker.once)
        return Reply(self.answer(outcome), is_repeat=outcome.was_handled)

    def answer(self, outcome: Outcome, hint: str = "") -> Message:
        """What to tell who asked, as a message; with a hint behind it, if there is one."""
        below = silence_views.below_the_answer(outcome.decision.silence)
        return said(reason(f"{self.sentence(outcome)}{hint}", self._command), below)

    def refusal(self, error: Refused) -> Message:
        """Why not, as a message."""
        return answers.refused(reason(error.reason, self._command))

    def refusal_in_a_form(self, error: Refused) -> str:
        """Why not, as the plain text beside a field."""
        said_ = self.without_mentions(error.reason).replace("`/incident", f"`{self._command}").replace("`", "")
        return clean(said_, 150, lines=False)

    def sentence(self, outcome: Outcome) -> str:
        """What to tell who asked."""
        return outcome.decision.reason or "Done."

    def _meant(self, number: int | None, asker: Asker, *, only_open: bool = True) -> Incident:
        """The incident that is meant: the one named, the channel's, or the only one open."""
        if number is not None:
            return self._seen(self._numbered(str(number)), asker)
        here = self._store.incident_in_channel(asker.channel)
        if here is not None:
            return here
        open_ = self._store.open_incidents(MOST_NAMED)
        if len(open_) == 1:
            return self._seen(open_[0], asker)
        if not open_:
            more = "" if only_open else f" Name one: `{self._command} timeline INC-7`."
            raise Refused(f"Nothing is open.{more} `{self._command} declare` opens an incident.")
        shown = ", ".join(one.ref if one.private else f"{one.ref} ({defused(one.title[:40])})" for one in open_)
        raise Refused(f"Which one? Open are {shown}. Add its number, or ask in its channel.")

    def _seen(self, incident: Incident, asker: Asker) -> Incident:
        """The incident, unless it is private and they are neither in its channel nor on it."""
        if not incident.private or (incident.channel is not None and incident.channel.id == asker.channel):
            return incident
        episode = incident.episode
        on_it = {incident.opened_by, episode.acknowledged_by, episode.taken_up_by, *episode.assignees, *episode.notified}
        if asker.person in on_it.union(*incident.roles.values()):
            return incident
        raise Refused(f"{incident.ref} is private. Ask in its own channel.")

    def _numbered(self, text: str) -> Incident:
        number = number_in(text)
        incident = self._store.incident(number) if number is not None else None
        if incident is None:
            raise Refused(f"There is no INC-{defused(text[:20])}. `{self._command} list` shows the open ones.")
        return incident

    def _found(self, person: str) -> str:
        """The Slack user id of a person named in words."""
        if not person.startswith("@"):
            return person
        found = self._store.people(person)
        if len(found) != 1:
            what = "Nobody is" if not found else "Several people are"
            raise Refused(f"{what} called {defused(person[:60])}. Pick the name from Slack's list while typing @.")
        return found[0].slack_id

    def _policy(self) -> Any:
        return self._door.policy()

    def _now(self) -> datetime:
        return self._door.clock()


class FieldRefused(Refused):
    """A form cannot be taken as it is; `field` is the one to look at."""

    def __init__(self, reason_: str, field: str) -> None:
        super().__init__(reason_)
        self.field = field


def _chosen(value: Callable[[str], str], name: str, kind: type[StrEnum]) -> str:
    """What was chosen in a field; refused where it is none of its options."""
    if value(name) not in {one.value for one in kind}:
        raise FieldRefused("Choose one of these.", name)
    return value(name)


def _about_silence(action: str, value: str, asker: Asker) -> Input:
    """A press on a silence: its number is what the button carries."""
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= 9 else 0
    if action == ids.END_SILENCE:
        return EndSilence(number=number, by=asker.person)
    return ConfirmSilence(number=number, by=asker.person)


def _runbook_message(book: Runbook, why: str) -> Message:
    steps = [f"{index}. {escape(line, 400)}" for index, line in enumerate(book.first_minute, start=1)]
    first = section("*First 60 seconds*\n" + fit(steps, 2600)) if steps else None
    return said(f"📗 *{escape(book.title, 200)}* · `{escape(book.path, 150)}` · owner {escape(book.owner, 60)}", first,
                context(escape(why, 300)))  # fmt: skip
