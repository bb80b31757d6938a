"""In which language a question is asked, as far as its function words tell: an answer is in its question's language."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from ragopt.remembering import remembered

WORD = re.compile(r"[^\W\d_]+")
# Words that hardly any other of these languages has, the commonest of each.
MARKS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        name: frozenset(words.split())
        for name, words in {
            "en": "the is are was were what which who how why when where does did do can of to and with for my your",
            "de": "der das ist sind war wie warum wann wo welche welcher und nicht mit für mein ein eine kann ich auf",
            "fr": "le les est sont était quel quelle comment pourquoi où du des et avec pour mon une peut je dans qui",
            "es": "el los es son era cuál cómo qué por cuándo dónde del y con para mi una puede yo en quién las",
            "it": "il gli è sono era quale come perché quando dove della e con per mio un può io nel chi che",
            "pt": "o os é são era qual como porque quando onde do da e com para meu uma pode eu no quem que",
            "nl": "het is zijn was hoe waarom wanneer waar welke van en niet met voor mijn een kan ik op wie",
        }.items()
    }
)


@remembered
def language_of(text: str) -> str:
    """Return the language or, beyond Latin letters, the script of a text; "" where its words do not tell.

    Words of several languages count for each; a tie tells nothing.
    """
    script = script_of(text)
    if script != "LATIN":
        return script
    spoken = [word.lower() for word in WORD.findall(text)]
    counts = Counter({name: sum(word in marks for word in spoken) for name, marks in MARKS.items()})
    (best, most), (_, second) = counts.most_common(2)
    return best if most > second else ""


def script_of(text: str) -> str:
    """Return the script that most letters are of, as their Unicode names begin; "" for a text without letters."""
    scripts = Counter(unicodedata.name(char, "?").split()[0] for char in text if char.isalpha())
    return scripts.most_common(1)[0][0] if scripts else ""


def may_share_an_answer(one: str, other: str) -> bool:
    """Return whether two questions are in one language, as far as that is known."""
    languages = {language_of(one), language_of(other)} - {""}
    return len(languages) < 2
