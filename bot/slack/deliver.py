"""Carrying chat effects out: one HTTP attempt each, and a look before anything is sent again that may be there already."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.clock import Clock
from bot.digest import Digest
from bot.errors import GaveUp, OverBudget, TryLater
from bot.incidents.changes import ChangeRecord, before_the_start
from bot.incidents.effects import (
    AddBookmarks,
    AnnounceAlert,
    AnnounceSilence,
    Attempt,
    Effect,
    InvitePeople,
    OpenChannel,
    PinSummary,
    Place,
    PostDigest,
    PostDraft,
    RaiseAlarm,
    Say,
    SetTopic,
    ShowAnnouncement,
    ShowSummary,
)
from bot.incidents.incident import Incident, Post
from bot.incidents.inputs import AnnouncementPosted, ChannelNotOpened, ChannelOpened, DraftPosted, Input, SummaryPosted
from bot.incidents.policy import Policy
from bot.slack import ids
from bot.slack.client import Slack, error_in
from bot.slack.views import answers, card, messages, silences
from bot.slack.views.blocks import Message
from bot.slack.views.text import is_person
from bot.store import Store

HARMLESS = frozenset({"already_in_channel", "cant_invite_self", "already_pinned"})
GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
CLOSED = frozenset({"channel_not_found", "is_archived", "not_in_channel", "is_inactive"})
"""A person archived or deleted the channel, or took the bot out of it."""
NOT_UPLOADED = frozenset({"file_upload_size_error", "file_not_found", "file_update_failed"})
TRIED_NAMES = 20
LOOKED_BACK_PAGES, PAGE = 10, 200
SETTLE = timedelta(minutes=20)
"""How far before our first try a message of ours may be dated: by Slack's clock, and ours may be ahead. NTP gives up on one that
is further off than 1,000 seconds. What is found has our mark on it, so that a long look back mistakes nothing."""
SAME_NAME = timedelta(minutes=5)
"""The same of a channel, of which only its name and who made it tell that it is ours."""


class SlackDeliverer:
    """Takes every effect of the chat and document lanes."""

    def __init__(
        self,
        *,
        slack: Slack,
        store: Store,
        clock: Clock,
        policy: Callable[[], Policy],
        digest_for: Callable[[str], Digest],
        draft_for: Callable[[int, str], str],
    ) -> None:
        self._slack, self._store, self._clock, self._policy = slack, store, clock, policy
        self._digest_for, self._draft_for = digest_for, draft_for
        self._channels: dict[str, str] = {}
        self._looked_to: dict[str, str] = {}
        """How far back in a channel an effect was looked for, by its row: Slack's cursor."""

    def deliver(self, effect: Effect, attempt: Attempt) -> Input | None:
        """Carry one effect out. Raises `TryLater`, `Ambiguous` or `GaveUp`.

        An incident whose channel a person closed goes on where everybody reads; that is said once, not for each effect.
        """
        try:
            return self._carry(effect, attempt)
        except GaveUp as error:
            lost = self._lost(effect, error)
            if lost is None:
                raise
            if isinstance(effect, Say) and not self._incident(effect.incident).private:
                shown = messages.about(effect, f"INC-{effect.incident}", effect.incident)
                self._post_to(self._policy().channels.announce, shown, attempt)
            return lost

    def _lost(self, effect: Effect, error: GaveUp) -> Input | None:
        """The report that the channel of an effect's incident is closed to us; None where that is not what went wrong."""
        if effect.incident is None or error_in(error) not in CLOSED or isinstance(effect, OpenChannel):
            return None
        incident = self._incident(effect.incident)
        if incident.channel is None or incident.channel_trouble:
            return None
        return ChannelNotOpened(incident.number, f"#{incident.channel.name} is closed to the bot ({error_in(error)})")

    def _carry(self, effect: Effect, attempt: Attempt) -> Input | None:
        match effect:
            case OpenChannel():
                return self._open(effect, attempt)
            case InvitePeople():
                self._invite(effect)
            case ShowSummary():
                return self._summary(self._incident(effect.incident), attempt)
            case ShowAnnouncement():
                return self._announcement(self._incident(effect.incident), attempt)
            case PinSummary():
                self._pin(self._incident(effect.incident))
            case AddBookmarks():
                self._bookmarks(effect)
            case SetTopic():
                self._topic(self._incident(effect.incident))
            case Say():
                self._say(effect, attempt)
            case AnnounceAlert():
                self._post_to(self._policy().channels.announce, messages.announced(effect), attempt)
            case AnnounceSilence():
                self._post_to(self._policy().channels.announce, silences.announced(effect), attempt)
            case RaiseAlarm():
                self._post_to(self._policy().channels.operations, messages.alarm(effect), attempt)
            case PostDigest():
                self._digest(effect, attempt)
            case PostDraft():
                return self._draft(effect, attempt)
            case _:
                raise GaveUp(f"{type(effect).__name__} is nothing for Slack")
        return None

    # --- channels -----------------------------------------------------------------------------

    def _open(self, effect: OpenChannel, attempt: Attempt) -> Input:
        """Create the channel; after a lost answer, find the one that we may have created."""
        if attempt.is_ambiguous or attempt.number > 1:
            found = self._created(effect, attempt)
            if found is not None:
                return found
        for number in range(1, TRIED_NAMES + 1):
            name = effect.name if number == 1 else f"{effect.name[:70]}-{number}"
            try:
                answer = self._slack.call("conversations.create", name=name, is_private=effect.private or None)
            except GaveUp as error:
                if error_in(error) != "name_taken":
                    raise
                # Somebody else's channel, or an archived one: never taken over, whatever it is called.
                continue
            channel = answer["channel"]
            return ChannelOpened(effect.incident, channel["id"], channel["name"])
        raise GaveUp(f"every name like {effect.name} is taken", "rename or delete old channels")

    def _created(self, effect: OpenChannel, attempt: Attempt) -> Input | None:
        """The channel that an earlier try created, by its creator, its name and its age."""
        me, since = self._slack.bot_user(), (attempt.first_tried_at - SAME_NAME).timestamp()
        for channel in self._mine():
            name = str(channel.get("name", ""))
            fits = name == effect.name or re.fullmatch(re.escape(effect.name[:70]) + r"-\d{1,2}", name)
            is_ours = channel.get("creator") == me and float(channel.get("created", 0)) >= since - 1
            if fits and is_ours and self._store.incident_in_channel(channel["id"]) is None:
                return ChannelOpened(effect.incident, channel["id"], channel["name"])
        return None

    def _mine(self) -> list[dict[str, Any]]:
        """Every channel that the bot is in."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            answer = self._slack.call(
                "users.conversations", types="public_channel,private_channel", exclude_archived="true", limit=200,
                cursor=cursor or None,
            )  # fmt: skip
            found += answer.get("channels", [])
            cursor = answer.get("response_metadata", {}).get("next_cursor", "")
            if not cursor:
                return found

    def _named(self, name: str) -> str:
        """The id of a channel that the policy names."""
        if name[:1] in "CG" and name.isupper() and name.isalnum() and len(name) >= 9:
            return name
        if name not in self._channels:
            self._channels.update({one["name"]: one["id"] for one in self._mine()})
        if name not in self._channels:
            raise self._missing(name)
        return self._channels[name]

    def _missing(self, name: str, why: str = "") -> TryLater:
        return TryLater(
            f"the bot is not in #{name}, or there is no such channel{why}", after=timedelta(seconds=60),
            mend=f"make #{name} and /invite the bot to it, or name another in policy.yaml under channels",
        )  # fmt: skip

    def _invite(self, effect: InvitePeople) -> None:
        incident = self._incident(effect.incident)
        channel = _home(incident)
        if channel is None:
            return
        episode = incident.episode
        wanted = dict.fromkeys((*effect.people, *episode.assignees, *episode.notified))
        people = [one for one in wanted if is_person(one)]
        if not people:
            return
        try:
            self._slack.call("conversations.invite", channel=channel, users=",".join(people[:100]), force=True)
        except GaveUp as error:
            # One unknown or guest user must not keep the others out; who is in already is in.
            if error_in(error) not in HARMLESS | {"user_not_found", "cant_invite", "ura_max_channels"}:
                raise

    def _topic(self, incident: Incident) -> None:
        channel = _home(incident)
        if channel is not None:
            self._slack.call("conversations.setTopic", channel=channel, topic=card.topic(incident))

    def _pin(self, incident: Incident) -> None:
        if incident.summary is None or _home(incident) is None:
            return
        try:
            self._slack.call("pins.add", channel=incident.summary.channel, timestamp=incident.summary.ts)
        except GaveUp as error:
            # A card that somebody deleted is posted anew when it next changes.
            if error_in(error) not in HARMLESS | GONE:
                raise

    def _bookmarks(self, effect: AddBookmarks) -> None:
        incident = self._incident(effect.incident)
        channel = _home(incident)
        if channel is None:
            return
        there = {one.get("link") for one in self._slack.call("bookmarks.list", channel_id=channel).get("bookmarks", [])}
        for title, url in effect.links:
            if url not in there:
                self._slack.call("bookmarks.add", channel_id=channel, title=title, type="link", link=url)

    # --- messages -----------------------------------------------------------------------------

    def _summary(self, incident: Incident, attempt: Attempt) -> Input | None:
        """The card lives in the incident's own channel; without one, where everybody reads (unless it is private)."""
        if incident.channel is None and (incident.private or not incident.channel_trouble):
            return None
        home, post = _home(incident), incident.summary
        if home is None and incident.private:
            return None
        is_many = incident.alert_count > card.MOST_ALERTS
        shares = self._store.alert_shares(incident.number, card.MOST_SHARES) if is_many else ()
        reports = self._store.alert_reports(incident.number, [one.fingerprint for one in card.listed(incident)])
        shown = card.card(incident, self._policy(), self._clock(), self._changes(incident), shares, reports)
        is_closed = home is None and incident.channel is not None and post is not None and post.channel == incident.channel.id
        if post is not None and not is_closed and self._update(post, shown):
            return None
        if home is not None:
            return SummaryPosted(incident.number, home, self._post(home, shown, attempt))
        return SummaryPosted(incident.number, *self._post_to(self._policy().channels.announce, shown, attempt))

    def _changes(self, incident: Incident) -> Sequence[ChangeRecord]:
        start = card.started_at(incident)
        return before_the_start(self._store.changes_before(incident.service, start), incident.service, start)

    def _announcement(self, incident: Incident, attempt: Attempt) -> Input | None:
        shown = card.announcement(incident, self._clock())
        post, name = incident.announcement, self._policy().channels.announce
        try:
            if post is not None and self._update(post, shown):
                return None
        except GaveUp as error:
            # Gone with its channel; another may have the name by now. If not, it waits until the bot is let in.
            if error_in(error) not in CLOSED:
                raise
            self._channels.pop(name, None)
            if post is None or self._named(name) == post.channel:
                raise self._missing(name, f": {error_in(error)}") from None
        return AnnouncementPosted(incident.number, *self._post_to(self._policy().channels.announce, shown, attempt))

    def _say(self, effect: Say, attempt: Attempt) -> None:
        incident = self._incident(effect.incident)
        home = _home(incident)
        if effect.place is Place.SERVICE:
            self._say_to_owners(effect, incident, attempt)
            return
        shown = messages.about(effect, incident.ref, incident.number)
        if effect.place is Place.INCIDENT and home is not None:
            self._post(home, shown, attempt)
        elif effect.place is Place.OPERATIONS:
            self._post_to(self._policy().channels.operations, shown, attempt)
        elif not incident.private:
            self._post_to(self._policy().channels.announce, shown, attempt)

    def _say_to_owners(self, effect: Say, incident: Incident, attempt: Attempt) -> None:
        """In the service's channel. Where the bot is not let in, nothing else of the incident waits for that."""
        channel = self._policy().service(incident.service).channel
        if incident.private or not channel:
            return
        effect = replace(effect, facts={**effect.facts, "channel": _home(incident)})
        try:
            self._post_to(channel, messages.about(effect, incident.ref, incident.number), attempt)
        except TryLater as error:
            if not error.mend:
                raise
            mend = f"/invite the bot to #{channel}, or name another channel for {incident.service} in policy.yaml"
            raise GaveUp(error.reason, mend) from None

    def _digest(self, effect: PostDigest, attempt: Attempt) -> None:
        """Once a week and channel: a second delivery edits the message that is there."""
        channel = self._named(self._policy().channels.digest)
        content = self._digest_for(effect.week)
        known = self._store.digest_of(effect.week, channel)
        if known is not None and self._update(Post(channel, known), answers.digest(content)):
            return
        name = self._policy().channels.digest
        try:
            channel, ts = self._post_to(name, answers.digest(content), attempt)
        except GaveUp as error:
            # A block that Slack does not take drops the whole message: then the same without the table.
            if not error_in(error).startswith("invalid_"):
                raise
            channel, ts = self._post_to(name, answers.digest(content, with_table=False), attempt)
        self._store.digest_posted(effect.week, channel, ts, self._clock())

    def _post_to(self, name: str, shown: Message, attempt: Attempt) -> tuple[str, str]:
        """Post in a channel that the policy names; its id and the message's. Waits where the bot is not in it any more."""
        channel = self._named(name)
        try:
            return channel, self._post(channel, shown, attempt)
        except GaveUp as error:
            if error_in(error) not in CLOSED:
                raise
            # Its id may be that of a channel which is gone, while another has its name by now.
            self._channels.pop(name, None)
            raise self._missing(name, f": {error_in(error)}") from None

    def _post(self, channel: str, shown: Message, attempt: Attempt) -> str:
        """Post a message once: its metadata carries the outbox row, and is looked for after a lost answer."""
        if attempt.is_ambiguous:
            found = self._posted(channel, attempt)
            if found is not None:
                return found
        answer = self._slack.call(
            "chat.postMessage", channel=channel, text=shown.text, blocks=list(shown.blocks) or None,
            unfurl_links=False, unfurl_media=False,
            metadata={"event_type": ids.EVENT_TYPE, "event_payload": {"outbox_id": attempt.id}},
        )  # fmt: skip
        return str(answer["ts"])

    def _posted(self, channel: str, attempt: Attempt) -> str | None:
        """The message of an earlier try, if it is there."""
        try:
            for one in self._since(channel, attempt):
                payload = one.get("metadata", {}).get("event_payload", {})
                if payload.get("outbox_id") == attempt.id:
                    return str(one["ts"])
        except GaveUp:
            # History cannot be read here: sending again may post twice, not sending may post never. Send.
            return None
        return None

    def _since(self, channel: str, attempt: Attempt) -> Iterator[dict[str, Any]]:
        """The messages of a channel since the first try, newest first; in a storm that may be many."""
        oldest = f"{(attempt.first_tried_at - SETTLE).timestamp():.6f}"
        cursor = self._looked_to.pop(attempt.id, "")
        for _ in range(LOOKED_BACK_PAGES):
            try:
                answer = self._slack.call(
                    "conversations.history", channel=channel, oldest=oldest, limit=PAGE, include_all_metadata="true",
                    cursor=cursor or None,
                )  # fmt: skip
            except OverBudget:
                # What was seen is not asked for again: else a look that takes more than there is room for would never end.
                if cursor:
                    self._looked_to[attempt.id] = cursor
                raise
            except GaveUp as error:
                if not cursor or error_in(error) != "invalid_cursor":
                    raise
                cursor = ""
                continue
            yield from answer.get("messages", [])
            cursor = (answer.get("response_metadata") or {}).get("next_cursor", "")
            if not cursor:
                return

    def _update(self, post: Post, shown: Message) -> bool:
        """Bring a message up to date; False where it is gone and has to be posted anew."""
        try:
            self._slack.call("chat.update", channel=post.channel, ts=post.ts, text=shown.text, blocks=list(shown.blocks))
        except GaveUp as error:
            if error_in(error) not in GONE:
                raise
            return False
        return True

    # --- documents ----------------------------------------------------------------------------

    def _draft(self, effect: PostDraft, attempt: Attempt) -> Input | None:
        """Draft, keep, and post as a file. The draft is kept even where Slack takes no file."""
        incident = self._incident(effect.incident)
        text = self._draft_for(effect.incident, effect.template)
        home = _home(incident)
        try:
            if home is not None:
                return self._share(effect, incident, home, text, attempt)
        except GaveUp as error:
            if error_in(error) not in CLOSED:
                raise
        if incident.private:
            return None
        return self._share(effect, incident, self._named(self._policy().channels.announce), text, attempt)

    def _share(self, effect: PostDraft, incident: Incident, channel: str, text: str, attempt: Attempt) -> Input:
        """Upload the draft and show it in a channel, unless an earlier try has."""
        title = f"{incident.ref} post-mortem draft"
        # A file has no metadata: its name carries the outbox row, so that this very draft is found again.
        name = f"{incident.ref.lower()}-post-mortem-{attempt.id[:8]}.md"
        there = self._shared(channel, name, attempt, incident.ref) if attempt.is_ambiguous else None
        if there is not None:
            return DraftPosted(effect.incident, effect.template, there)
        content = text.encode()
        place = self._slack.call("files.getUploadURLExternal", filename=name, length=len(content))
        self._slack.upload(str(place["upload_url"]), content)
        comment = f"📄 The post-mortem draft of *{incident.ref}*, from its timeline. Lines marked TODO need a person."
        try:
            done = self._slack.call(
                "files.completeUploadExternal", files=[{"id": place["file_id"], "title": title}], channel_id=channel,
                initial_comment=comment,
            )  # fmt: skip
        except GaveUp as error:
            if error_in(error) not in NOT_UPLOADED:
                raise
            # Whoever answered the upload was not Slack, or lost it: the next try is given another place for it.
            raise TryLater(f"Slack has not got the file it took ({error_in(error)})") from None
        files = done.get("files") or [{}]
        return DraftPosted(effect.incident, effect.template, str(files[0].get("permalink", "")))

    def _shared(self, channel: str, name: str, attempt: Attempt, ref: str) -> str | None:
        """The address of the file that an earlier try shared, if it did. Where nobody can look: at most once."""
        try:
            for message in self._since(channel, attempt):
                for one in message.get("files") or []:
                    if one.get("name") == name:
                        return str(one.get("permalink", ""))
        except GaveUp as error:
            if error_in(error) in CLOSED:
                raise
            reason = f"{error.reason}, so that nobody can tell whether the draft is in Slack; it is kept"
            raise GaveUp(reason, f"python -m bot postmortem {ref}") from None
        return None

    def _incident(self, number: int) -> Incident:
        incident = self._store.incident(number)
        if incident is None:
            raise GaveUp(f"there is no INC-{number}")
        return incident


def _home(incident: Incident) -> str | None:
    """The id of the incident's own channel; None where it has none, or none that is open to us."""
    return incident.channel.id if incident.channel is not None and not incident.channel_trouble else None
