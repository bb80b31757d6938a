"""The kinds of text and number that fields of the wire format hold, and what each refuses."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from indexes.invisible import is_blank
from ragopt.principals import WHAT_IT_IS, is_principal

COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_ID_CHARS = 512
MAX_URL_CHARS = 2_048


def encodable(text: str) -> str:
    """Return `text` if it can be encoded at all: JSON lets a lone surrogate through."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PydanticCustomError("lone_surrogate", "The text holds a lone surrogate, which is not text") from error
    return text


def not_blank(text: str) -> str:
    """Return `text` if it holds anything that can be seen."""
    if is_blank(text):
        raise PydanticCustomError("blank", "The text holds nothing but white space and invisible characters")
    return text


def collection_name(name: str) -> str:
    """Return `name` if it is short and plain: it becomes part of addresses and of file names."""
    if not COLLECTION.fullmatch(name):
        raise PydanticCustomError("collection_name", "1 to 64 of A-Z a-z 0-9 . _ - are allowed, the first no sign")
    return name


def printable(name: str) -> str:
    """Return `name` if it holds no control character."""
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise PydanticCustomError("control_character", "A control character is not allowed here")
    return name


def principal(text: str) -> str:
    """Return `text` if it can be on the list of a document."""
    if not is_principal(text):
        raise PydanticCustomError("principal", "{what}", {"what": WHAT_IT_IS})
    return text


Text = Annotated[str, AfterValidator(encodable)]
QuestionText = Annotated[Text, AfterValidator(not_blank)]
CollectionName = Annotated[str, AfterValidator(collection_name)]
Name = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_ID_CHARS), AfterValidator(printable)]
Url = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_URL_CHARS), AfterValidator(printable)]
Principal = Annotated[str, AfterValidator(principal)]
Label = Annotated[Text, StringConstraints(max_length=128), AfterValidator(printable)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
Money = Annotated[str, Field(description="USD, a decimal number")]
SpanPair = tuple[int, int]
