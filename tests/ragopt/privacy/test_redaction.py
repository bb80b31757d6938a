"""Redaction replaces, counts, and is done once."""

from __future__ import annotations

from ragopt.privacy.redaction import redacted


def test_placeholders_say_what_stood_there() -> None:
    """The rest of the text stays as it was, and each kind is counted."""
    done = redacted("Mail a@b.de or c@d.org, card 4111111111111111.")
    assert done.text == "Mail [EMAIL] or [EMAIL], card [CARD]."
    assert done.counts == {"email": 2, "card": 1}


def test_redaction_is_idempotent() -> None:
    """What was replaced is not taken for personal data again."""
    once = redacted("password: hunter22x, tel 030 1234567, born on 1.2.1980, passport C01X00T47").text
    assert redacted(once).text == once


def test_a_text_without_personal_data_is_the_same_text() -> None:
    """Also the empty one."""
    assert redacted("Nothing here.").text == "Nothing here."
    assert redacted("").text == ""


def test_spans_of_the_original_are_found_again() -> None:
    """An edge inside personal data takes in the whole placeholder; what stands before the text stays there."""
    text = "Mail a@b.de or c@d.org now."
    done = redacted(text)
    assert done.text == "Mail [EMAIL] or [EMAIL] now."
    for span, shown in [((0, 4), "Mail"), ((5, 11), "[EMAIL]"), ((7, 9), "[EMAIL]"), ((9, 20), "[EMAIL] or [EMAIL]"),
                        ((12, 14), "or"), ((23, 26), "now"), ((0, 27), done.text)]:  # fmt: skip
        assert done.text[slice(*done.moved(span))] == shown
    assert done.moved((-9, -2)) == (-9, -2)


def test_marks_around_an_address_stay() -> None:
    """Emphasis, code, cells of a table and quotes are closed as they were opened."""
    assert redacted("**a@b.de**, `a@b.de`, |a@b.de|, 'a@b.de'").text == "**[EMAIL]**, `[EMAIL]`, |[EMAIL]|, '[EMAIL]'"
