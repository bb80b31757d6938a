"""A prompt as segments and messages."""

from __future__ import annotations

from ragopt.providers.layout import Prompt, Segment

PROMPT = Prompt(
    (
        Segment("rules", "system", "Rules."),
        Segment("application", "system", "Be brief.", breakpoint=True),
        Segment("summary", "user", "- a"),
        Segment("summary", "user", "- b", breakpoint=True),
        Segment("history", "user", "One?"),
        Segment("history", "user", "Two?", breakpoint=True),
        Segment("passages", "user", "P"),
        Segment("question", "user", "Q"),
    ),
    "test",
)


def test_messages_are_the_system_the_summary_each_turn_and_what_is_asked() -> None:
    """Two turns of one role stay apart, and the question's message begins behind the last turn."""
    told = [(message.role, message.text) for message in PROMPT.messages()]
    assert told == [
        ("system", "Rules.\n\nBe brief."),
        ("user", "- a\n\n- b"),
        ("user", "One?"),
        ("user", "Two?"),
        ("user", "P\n\nQ"),
    ]
    assert [at for message in PROMPT.messages() for at, _ in message.segments] == list(range(8))
    assert (PROMPT.system, PROMPT.user) == ("Rules.\n\nBe brief.", "P\n\nQ")


def test_the_digest_of_a_beginning_depends_on_nothing_behind_it() -> None:
    """Cut, moved or changed segments change it; where one text ends and the next begins counts too."""
    shorter = Prompt(PROMPT.segments[:2], "test")
    joined = Prompt((Segment("rules", "system", "Rules.Be brief."),), "test")
    assert PROMPT.prefix_digest() == shorter.prefix_digest() == PROMPT.prefix_digest(1)
    assert len({PROMPT.prefix_digest(at) for at in range(8)} | {joined.prefix_digest()}) == 9


def test_an_empty_prompt_has_no_text() -> None:
    """Nothing is nothing."""
    empty = Prompt((), "test")
    assert (empty.messages(), empty.user, empty.system, empty.breakpoints()) == ([], "", "", [])


def test_tokens_are_counted_part_by_part() -> None:
    """Segments of one part are summed; a part that is not there has no entry."""
    prompt = Prompt(
        (
            Segment("rules", "system", "Be brief."),
            Segment("history", "user", "Hello there"),
            Segment("history", "assistant", "Hi"),
            Segment("question", "user", "Why?"),
        ),
        version="v",
    )
    assert prompt.tokens(lambda text: len(text.split())) == {"rules": 2, "history": 3, "question": 1}
