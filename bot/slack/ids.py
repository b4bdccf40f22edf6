"""Every name that goes out to Slack and comes back: actions, forms, fields. Old messages keep them: never rename one."""

EVENT_TYPE = "firstfive"
"""The type of our message metadata; its payload holds `outbox_id` and `incident`."""

# --- buttons ----------------------------------------------------------------------------------
ACKNOWLEDGE = "acknowledge"
ESCALATE = "escalate"
UPDATE = "update"
NOTE = "note"
ROLES = "roles"
SEVERITY = "severity"
STATUS = "status"
RESOLVE = "resolve"
REOPEN = "reopen"
MERGE = "merge"
SPLIT = "split"
PAGE = "page"
RUNBOOK = "runbook"
TIMELINE = "timeline"
TIMELINE_PAGE = "timeline_page"
ALERTS = "alerts"
ALERTS_PAGE = "alerts_page"
DECLARE = "declare"
RESOLVE_NOW = "resolve_now"
KEEP_OPEN = "keep_open"
PAGE_USEFUL = "page_useful"
PAGE_USELESS = "page_useless"
POSTMORTEM = "postmortem"
WHO = "who"
CONFIRM_SILENCE = "confirm_silence"
END_SILENCE = "end_silence"
MORE = "more"
"""The overflow menu of the card: its options carry `action:incident`."""

LINK = "link"
"""Buttons that only open an address; Slack tells us of the press all the same. Several in one message are numbered."""

BUTTONS = frozenset(
    {
        ACKNOWLEDGE,
        ESCALATE,
        UPDATE,
        NOTE,
        ROLES,
        SEVERITY,
        STATUS,
        RESOLVE,
        REOPEN,
        MERGE,
        SPLIT,
        PAGE,
        RUNBOOK,
        TIMELINE,
        TIMELINE_PAGE,
        ALERTS,
        ALERTS_PAGE,
        DECLARE,
        RESOLVE_NOW,
        KEEP_OPEN,
        PAGE_USEFUL,
        PAGE_USELESS,
        POSTMORTEM,
        WHO,
        CONFIRM_SILENCE,
        END_SILENCE,
        MORE,
        LINK,
    }
)

# --- forms ------------------------------------------------------------------------------------
DECLARE_FORM = "declare_form"
UPDATE_FORM = "update_form"
NOTE_FORM = "note_form"
ROLE_FORM = "role_form"
SEVERITY_FORM = "severity_form"
STATUS_FORM = "status_form"
RESOLVE_FORM = "resolve_form"
MERGE_FORM = "merge_form"
SPLIT_FORM = "split_form"
PAGE_FORM = "page_form"

FORMS = frozenset(
    {
        DECLARE_FORM,
        UPDATE_FORM,
        NOTE_FORM,
        ROLE_FORM,
        SEVERITY_FORM,
        STATUS_FORM,
        RESOLVE_FORM,
        MERGE_FORM,
        SPLIT_FORM,
        PAGE_FORM,
    }
)

# --- fields of forms: block id and action id are the same word ---------------------------------
TITLE = "title"
TEXT = "text"
DETAILS = "details"
SEVERITY_FIELD = "severity"
SERVICE = "service"
PRIVATE = "private"
STATUS_FIELD = "status"
ROLE = "role"
PERSON = "person"
INTO = "into"
ALERT = "alert"
NEXT = "next"

FIELDS = frozenset({TITLE, TEXT, DETAILS, SEVERITY_FIELD, SERVICE, PRIVATE, STATUS_FIELD, ROLE, PERSON, INTO, ALERT, NEXT})


def base_of(action_id: str) -> str:
    """The button behind a numbered id: `link:2` is `link`."""
    return action_id.partition(":")[0]
