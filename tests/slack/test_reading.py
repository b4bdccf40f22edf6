"""What was typed after `/incident`: which subcommand, which incident, which words."""

import pytest

from bot.slack.commands import SUBS, Request, Unknown, likely, read


def seen(text: str) -> tuple[str, int | None, str]:
    request = read(text)
    assert isinstance(request, Request), request
    return request.sub.name, request.number, request.text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", ("help", None, "")),
        ("   \n\t ", ("help", None, "")),
        ("ack", ("ack", None, "")),
        ("ACK", ("ack", None, "")),
        ("ack!", ("ack", None, "")),
        ("ack INC-7", ("ack", 7, "")),
        ("ack inc7", ("ack", 7, "")),
        ("ack #7", ("ack", 7, "")),
        ("ack 7", ("ack", 7, "")),
        ("INC-7 ack", ("ack", 7, "")),
        ("inc-7: ack", ("ack", 7, "")),
        ("7 ack", ("ack", 7, "")),
        ("please ack INC-7", ("ack", 7, "")),
        ("INC-7", ("who", 7, "")),
        ("7", ("who", 7, "")),
        ("take INC-7", ("ack", 7, "")),
        ("@ben page", ("page", None, "@ben")),
        ("INC-7 @ben page", ("page", 7, "@ben")),
        ("page INC-7 <@U0BEN0001|ben>", ("page", 7, "<@U0BEN0001|ben>")),
        ("page <@U0BEN0001> 7", ("page", 7, "<@U0BEN0001>")),
        ("page payments INC-7", ("page", 7, "payments")),
        ("sev 1", ("sev", None, "1")),
        ("sev 1 INC-7", ("sev", 7, "1")),
        ("sev INC-7 1", ("sev", 7, "1")),
        ("INC-7 sev 1", ("sev", 7, "1")),
        ("sev 1 7", ("sev", 7, "1")),
        ("sev 7 1", ("sev", 7, "1")),
        ("sev 2 1", ("sev", 1, "2")),
        ("sev 9", ("sev", None, "9")),
        ("7 sev sev2", ("sev", 7, "sev2")),
        ("sev1 declare checkout is down", ("declare", None, "sev1 checkout is down")),
        ("declare INC-3 is back", ("declare", None, "INC-3 is back")),
        ("declare 3 pods restart", ("declare", None, "3 pods restart")),
        ("status identified a bad deploy", ("status", None, "identified a bad deploy")),
        ("status INC-7 identified", ("status", 7, "identified")),
        ("status identified INC-7", ("status", 7, "identified")),
        ("status 7 identified", ("status", 7, "identified")),
        ("commander me role INC-7", ("role", 7, "commander me")),
        ("role @ben scribe 7", ("role", 7, "@ben scribe")),
        ("lead me", ("role", None, "me")),
        ("note INC-7 CDN serves the old bundle", ("note", 7, "CDN serves the old bundle")),
        ("INC-7 note CDN serves the old bundle", ("note", 7, "CDN serves the old bundle")),
        ("note we saw INC-3 before", ("note", None, "we saw INC-3 before")),
        ("note 3 pods restart", ("note", None, "3 pods restart")),
        ("note one\n  two\n\nthree", ("note", None, "one\n  two\n\nthree")),
        ("update Orders fail.\nWe roll back. next 15m", ("update", None, "Orders fail.\nWe roll back. next 15m")),
        ("resolve", ("resolve", None, "")),
        ("resolve 7", ("resolve", 7, "")),
        ("resolve INC-7 rolled back", ("resolve", 7, "rolled back")),
        ("resolve 3 pods restarted", ("resolve", None, "3 pods restarted")),
        ("reopen 7", ("reopen", 7, "")),
        ("reopen INC-7 it is back", ("reopen", 7, "it is back")),
        ("cancel 7 false positive", ("cancel", 7, "false positive")),
        ("close 7", ("close", 7, "")),
        ("merge INC-8 into INC-7", ("merge", None, "INC-8 into INC-7")),
        ("INC-8 merge INC-7", ("merge", None, "INC-8 INC-7")),
        ("postmortem INC-7 short", ("postmortem", 7, "short")),
        ("postmortem short 7", ("postmortem", 7, "short")),
        ("metrics 2026-W24", ("metrics", None, "2026-W24")),
        ("metrics 24", ("metrics", None, "24")),
        ("list", ("list", None, "")),
        ("help page", ("help", None, "page")),
    ],
)
def test_words_may_come_in_any_order_that_makes_sense(text, meant):
    assert seen(text) == meant


@pytest.mark.parametrize("text", ["note as in INC-3", "resolve duplicate of INC-3", "update see INC-3", "resolve rolled back #3"])
def test_a_reference_that_closes_a_text_names_the_incident_only_where_none_is_at_hand(text):
    request = read(text)

    assert isinstance(request, Request)
    assert request.elsewhere is not None
    assert (request.number, request.elsewhere.number) == (None, 3)
    assert request.text.endswith("3")
    assert "3" not in request.elsewhere.text


@pytest.mark.parametrize(
    "text",
    ["we have to resolve this", "is checkout fixed", "who is going to take INC-7", "tell ben to ack", "the page did not arrive",
     "checkout is slow declare"],
)  # fmt: skip
def test_a_sentence_that_holds_a_subcommand_does_nothing(text):
    request = read(text)

    assert isinstance(request, Unknown) or request.sub.name == "who"


@pytest.mark.parametrize(
    ("text", "near"),
    [("akc", "ack"), ("INC-7 akc", "ack"), ("resovle it", "resolve"), ("delcare x", "declare"), ("timelin", "timeline"),
     ("post-mortm", "postmortem"), ("sev1", "sev"), ("sev2 checkout is down", "declare"), ("acknowlege", "ack"),
     ("statsu", "status")],
)  # fmt: skip
def test_a_typo_is_answered_with_what_was_probably_meant(text, near):
    request = read(text)

    assert isinstance(request, Unknown)
    assert near in request.near


@pytest.mark.parametrize(
    "text", ["xyzzy", "🔥", "\0", "' OR 1=1 --", "a" * 40_000, "<@U0BEN0001>", "🙂 " * 5000, "@", "#", "INC-", "INC-x", "-1"]
)
def test_absurd_input_is_just_not_known(text):
    assert isinstance(read(text), Unknown)


@pytest.mark.parametrize("sub", SUBS, ids=lambda sub: sub.name)
def test_every_synonym_and_every_example_is_read_as_its_subcommand(sub):
    for word in (sub.name, *sub.synonyms):
        assert seen(word)[0] == sub.name
        assert seen(f"INC-7 {word.upper()}")[0] == sub.name
    assert seen(sub.example)[0] == sub.name


@pytest.mark.parametrize(("word", "said"), [("identifed", " Did you mean identified?"), ("xyzzy", ""), ("", ""), ("a" * 9999, "")])
def test_a_word_that_looks_like_a_known_one_is_suggested(word, said):
    assert likely(word, ["identified", "monitoring"]) == said
