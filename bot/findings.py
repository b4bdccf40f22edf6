"""What a check found: one line, and how to mend it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `mend` says what to do where it is not well."""

    subject: str
    is_ok: bool
    text: str
    mend: str = ""
