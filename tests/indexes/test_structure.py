"""Blocks: what each part of a text is, and what it belongs to."""

from __future__ import annotations

import pytest

from indexes.structure import Block, blocks


def read(text: str) -> list[tuple[str, str]]:
    """Return kind and text of each block."""
    return [(block.kind, text[block.start : block.end].strip()) for block in blocks(text)]


def depths(text: str) -> list[int]:
    return [block.depth for block in blocks(text)]


def groups(text: str) -> list[list[str]]:
    """Return the first words of the blocks, those of a group together."""
    found: dict[int, list[str]] = {}
    for block in blocks(text):
        found.setdefault(block.group, []).append(text[block.body : block.end].split(maxsplit=1)[0])
    return list(found.values())


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("# T\ntext", ["heading", "prose"]),
        (" = Valkyria = \ntext", ["heading", "prose"]),
        ("Title\n=====\ntext", ["heading", "prose"]),
        ("- x\n2) y\n(a) z", ["item", "item", "item"]),
        ("Term\n: what it is\nOther\n: something", ["prose", "item", "prose", "item"]),
        ("| a | b |", ["row"]),
        ("a | b\n--|--\n1 | 2", ["row", "row", "row"]),
        ("- | 2023\ndays | 27", ["row", "row"]),
        ("plain\nlines", ["prose"]),
        ("```\n# no heading\n- no item\n```", ["code", "code"]),
        ("Text.\n\n    x = f(1)\n    y = 2\n", ["prose", "code", "code"]),
        ("Text.\n\n    A quotation that is\n    set in from the left.\n", ["prose", "prose"]),
        ("> Quoted\n> words.\n\nOwn words.", ["prose", "prose"]),
        ("> - one\n> - two", ["item", "item"]),
        ("text\nA. Smith wrote it", ["prose"]),
        ("text:\n1. one", ["prose", "item"]),
        ("```\nnever closed", ["prose"]),
        (">>> x = 1\n2", ["prose"]),
    ],
)
def test_kinds_are_told_apart(text: str, kinds: list[str]) -> None:
    """Each structure is recognised, code is code whatever it looks like, a wrapped sentence is no list."""
    assert [block.kind for block in blocks(text)] == kinds


def test_front_matter_is_lines_of_its_own() -> None:
    """What stands between two rules at the very top is neither prose nor a heading."""
    assert read("---\ntitle: x\ntags: y\n---\nText.") == [
        ("code", "---\ntitle: x"),
        ("code", "tags: y\n---"),
        ("prose", "Text."),
    ]


def test_fences_and_rules_belong_to_the_block_beside_them() -> None:
    """An opening fence goes with the first line of the code, any other mark with the block before it."""
    assert read("One.\n\n---\n\n```sh\nmake\n```\n\n***\nTwo.\n") == [
        ("prose", "One.\n\n---"),
        ("code", "```sh\nmake\n```\n\n***"),
        ("prose", "Two."),
    ]
    assert read("***\nOne.") == [("prose", "***\nOne.")]
    assert read("---\n***") == [("prose", "---\n***")]


def test_a_list_holds_what_is_indented_below_its_items() -> None:
    """Nested items, paragraphs, code and rows of an item are of its list; a paragraph at the margin ends it."""
    text = "- a\n  - b\n    c\n\n    ```\n    d\n    ```\n\n  e\n- f\n\ng\n\n- h\n"
    assert groups(text) == [["a", "b", "d", "e", "f"], ["g"], ["h"]]
    assert depths(text) == [1, 2, 2, 1, 1, 0, 1]


def test_a_list_that_counts_from_one_again_is_another_list() -> None:
    """Two numbered lists without a paragraph between are two."""
    assert groups("1. a\n2. b\n\n1. c\n2. d") == [["a", "b"], ["c", "d"]]


def test_rows_of_a_table_share_a_part_and_its_first_are_its_head() -> None:
    """Rows know their table and its header, with or without a ruled line."""
    found = blocks("| a | b |\n|---|---|\n| 1 | 2 |\n\nx | y\n1 | 2\n")
    assert [block.head for block in found] == [True, True, False, True, False]
    assert len({block.part for block in found[:3]}) == len({block.part for block in found[3:]}) == 1


def test_lines_of_code_know_a_blank_line_before_them() -> None:
    """A blank line is where code is best cut."""
    assert [block.loose for block in blocks("```\na\n\nb\nc\n```\n")] == [False, True, False]


def test_blocks_cover_the_text() -> None:
    """Blocks are ascending and disjoint, and sentences lie inside of them."""
    found = blocks("# A\n\n> x\n>\n- b\n\n---\n```\nc\n```\n")
    edges = [edge for block in found for edge in (block.start, block.end)]
    assert edges == sorted(edges)
    assert all(isinstance(block, Block) and block.start <= block.body <= block.stop <= block.end for block in found)
