"""The closed classes of English that tell how a question refers: words in lower case."""

from __future__ import annotations


def listed(text: str) -> frozenset[str]:
    """Return the words of a list that spaces part."""
    return frozenset(text.split())


PERSON = listed("he him his himself she her hers herself")
THINGS = listed("they them their theirs themselves")
NEUTER = listed("it its itself")
PRONOUNS = PERSON | THINGS | NEUTER
POINTING = listed("this that these those")
PREPOSITIONS = listed("of in for on from with by at between during to about against into")
AUXILIARIES = listed("is are was were do does did has have had can could will would should be been")
ASKING = listed("what who whom whose how why when where which tell")
DETERMINERS = listed("the a an his her their its my your this that these those some any")
CONJUNCTIONS = listed("and but or so also then because")
COMPARING = listed("same similar different difference differences compare alternative alternatives")
# At the end of a question they continue something.
TRAILING = listed("then too also again there")
# They open a request, or count in words: they name nothing.
NAMELESS = listed(
    "tell give show describe explain list please thank thanks hi hello ok okay yes one two three four five six seven "
    "eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty dozen hundred "
    "thousand million billion"
)
# What may stand between two capitalised words of one name.
LINKS = listed("of the and for de la van von &")
# Common in other languages, and in English in names alone or rarely.
FOREIGN = listed(
    "und der die das den dem ist war wie von mit für et le la les des que quel quelle est y el los las en es un una "
    "cual qué il che del di het een de wat van met os um uma para"
)
