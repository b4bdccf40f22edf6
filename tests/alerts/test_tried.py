"""The table of real payloads says what comes of them, and names everything that is read otherwise than was noted."""

from tests.alerts import tried
from tests.alerts.test_corpus import ELSEWHERE, READ_AS, SEVERITIES, UNREADABLE, needs_corpus
from tests.documents import TOP


@needs_corpus
def test_the_table_of_real_payloads_is_as_it_is_documented():
    table = tried.table(tried.passed())
    print(table)

    assert table in (TOP / "docs" / "sources.md").read_text(encoding="utf-8")


def test_everything_that_is_read_otherwise_is_documented():
    page = (TOP / "docs" / "sources.md").read_text(encoding="utf-8")
    lines = list(tried.otherwise())

    assert len(lines) == len(READ_AS) + len(SEVERITIES) + len(UNREADABLE) + len(ELSEWHERE)
    assert [line for line in lines if line not in page] == []


@needs_corpus
def test_a_case_that_fails_is_missing_in_the_table():
    good = tried.passed()
    one = next(iter(good))

    assert tried.table(good - {one}) != tried.table(good)
