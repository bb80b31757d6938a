"""Personal data with a form of its own: found by pattern and, where there is one, confirmed by its check digits.

Names and postal addresses have no form, so nothing here finds them; `ragopt.privacy.presidio` does where it is set up.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ragopt.privacy import checksums
from ragopt.privacy.national_ids import NATIONAL_IDS, NationalId, bare
from ragopt.privacy.phones import phone_spans

Kind: TypeAlias = Literal[
    "secret",
    "credentials",
    "email",
    "iban",
    "card",
    "national_id",
    "document_id",
    "bank_account",
    "birth_date",
    "ip",
    "phone",
    "wallet",
    "name",
    "address",
    "url",
]
# Where two overlap the earlier kind is kept: what is confirmed by a checksum before what is not.
KINDS: tuple[Kind, ...] = get_args(Kind)
# A web address names no person by itself, and documents are full of them; names and addresses have no form.
BY_FORM: frozenset[Kind] = frozenset(KINDS) - {"url", "name", "address"}


@dataclass(frozen=True, slots=True)
class Finding:
    """Personal data in a text: `text[start:end]`, code points."""

    kind: Kind
    start: int
    end: int


Finder: TypeAlias = Callable[[str], Iterator[tuple[int, int]]]

EMAIL = re.compile(
    r"(?<![\w.+-])[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*"
    r"(?:@| ?[\[(](?:at|@)[\])] ?)(?:[\w-]+\.)+[^\W\d_]{2,24}(?![\w-])",
    re.IGNORECASE,
)
# Marks of Markdown and quotes that an address may begin with by its form, and seldom does.
MARKS = "*_~`{|}'"
CARD = re.compile(
    r"(?<![\w.,-])(?:\d{12,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5})(?![\w-]|[.,]\d)"
)
# Source: ISO/IEC 7812 issuer ranges: Visa, Mastercard, Amex, Diners, Discover, JCB, UnionPay, Maestro.
CARD_ISSUER = re.compile(r"4|5[0-8]|6[0-9]|2[2-7]|3[0-9]|1800|2131")
NAMED_CARD = re.compile(r"\b(?:card|visa|mastercard|amex|kreditkarte|carte)\b", re.IGNORECASE)
IBAN = re.compile(r"(?<![\w])[a-z]{2}\d{2}(?:[ -]?[a-z0-9]){11,30}", re.IGNORECASE)
IPV4 = re.compile(r"(?<![\w.:/-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
IPV4_IN_URL = re.compile(r"(?<=://)(?:\d{1,3}\.){3}\d{1,3}(?![\w.])")
# Candidates only: what is an address decides the standard library.
IPV6 = re.compile(
    r"(?<![\w:.])[0-9a-f]{1,4}:[0-9a-f:]{2,36}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f])(?![\w:])", re.IGNORECASE
)
VERSIONED = re.compile(
    r"(?:\bv|version|release|section|chapter|§|clause|figure|table|build|firmware|\bec)\.? ?$", re.IGNORECASE
)
CREDENTIALS = re.compile(r"(?<=://)[^\s/@:'\"<>]{0,80}:[^\s/@'\"<>]{1,120}(?=@)")
URL = re.compile(r"\b(?:https?|ftp)://[^\s<>\"')\]]+|\bwww\.[^\s<>\"')\]]+", re.IGNORECASE)
WALLET = re.compile(r"(?<!\w)(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[ac-hj-np-z02-9]{39,59}|0x[0-9a-fA-F]{40})(?!\w)")
SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]{1,8000}?-----END [A-Z ]*PRIVATE KEY-----|"
    r"(?<![\w-])(?:sk-(?:ant-|proj-)?[\w-]{20,200}|rag_[a-z]+_\w{4,40}_[\w-]{20,80}|gh[pousr]_[A-Za-z0-9]{36,255}|"
    r"github_pat_\w{60,100}|glpat-[\w-]{20,64}|xox[abeoprs]-[\w-]{10,250}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{35}|"
    r"ya29\.[\w-]{20,400}|[rs]k_(?:live|test)_[A-Za-z0-9]{16,120}|SG\.[\w-]{22}\.[\w-]{43}|hf_[A-Za-z0-9]{30,64}|"
    r"npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,250}|dop_v1_[a-f0-9]{64}|EAACEdEose0cBA[A-Za-z0-9]+|AC[a-f0-9]{32}|"
    r"eyJ[\w-]{8,2000}\.eyJ[\w-]{8,4000}\.[\w-]{8,1000})(?![\w-])"
)
NAMED_SECRET = re.compile(
    r"\b(?:api[_ -]?key|secret(?:[_ -]?key)?|access[_ -]?(?:key|token)|auth[_ -]?token|client[_ -]?secret|"
    r"passw(?:or)?d|pwd|passphrase|bearer)\b[\"']?(?:\s*(?:[:=]|is|=>)\s*|\s+(?=ey))[\"'`]?([^\s\"'`,;<>{}$]{8,200})",
    re.IGNORECASE,
)
DOCUMENT_ID = re.compile(
    # Looking at one letter first makes the search several times faster.
    r"\b(?=[dptilrf])(?:driv(?:er|ing)(?:['’]?s)? licen[cs]e|passport|travel document|identity card|id card|"
    r"licen[cs]e number|personalausweis|reisepass|f[üu]hrerschein)(?: (?:number|no\.?|nr\.?|id))?\s*(?:is|:|#|=)?\s*"
    r"((?=[A-Z0-9-]*\d)[A-Z0-9][A-Z0-9-]{4,19})(?!\w)",
    re.IGNORECASE,
)
BANK_ACCOUNT = re.compile(
    r"\b(?:(?:bank )?account|routing|sort code|acct|kontonummer|bsb)(?: (?:number|no\.?|nr\.?))?\s*(?:is|:|#|=)?\s*"
    r"(\d[\d -]{4,20}\d)(?![\w-])",
    re.IGNORECASE,
)
MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
BIRTH_DATE = re.compile(
    r"\b(?:d\.?o\.?b\.?|date of birth|birth ?date|birthday|born(?: on)?|geboren(?: am)?|geburtsdatum|n[ée]e? le|"
    r"nacid[oa] el|nat[oa] il)\b\W{0,4}(?:(?:is|was|:|on|the)\s+){0,2}"
    rf"(\d{{1,4}}[./ -]\d{{1,2}}[./ -]\d{{1,4}}|\d{{1,2}}(?:st|nd|rd|th)?\.? (?:of )?{MONTH},? \d{{4}}|"
    rf"{MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})",
    re.IGNORECASE,
)
NEAR_CHARS = 48
# Where a national number can begin: a token with a digit among its first characters.
NUMBERED = re.compile(r"(?<![\w.,+-])(?=[A-Za-z]{0,6}-?\d)")


def findings(text: str, kinds: Collection[Kind] = BY_FORM) -> list[Finding]:
    """Return the personal data of the wanted kinds, ascending and disjoint; of two that overlap the surer kind."""
    taken: list[Finding] = []
    for kind in KINDS:
        if kind not in kinds or kind not in FINDERS:
            continue
        for start, end in FINDERS[kind](text):
            if all(end <= other.start or other.end <= start for other in taken):
                taken.append(Finding(kind, start, end))
    return sorted(taken, key=lambda finding: finding.start)


def whole(pattern: re.Pattern[str]) -> Finder:
    """Return the finder of every match of a pattern."""
    return lambda text: (match.span() for match in pattern.finditer(text))


def inner(pattern: re.Pattern[str]) -> Finder:
    """Return the finder of the first group of every match of a pattern."""
    return lambda text: (match.span(1) for match in pattern.finditer(text))


def secrets(text: str) -> Iterator[tuple[int, int]]:
    """Yield keys of known services, private keys, and what stands behind `password:` and mixes letters and digits."""
    yield from whole(SECRETS)(text)
    for match in NAMED_SECRET.finditer(text):
        value = match.group(1).rstrip(".)")
        if any(letter.isdigit() for letter in value) and any(letter.isalpha() for letter in value):
            yield match.start(1), match.start(1) + len(value)


def emails(text: str) -> Iterator[tuple[int, int]]:
    """Yield e-mail addresses, without the marks of emphasis, code, tables and quotes before them."""
    for match in EMAIL.finditer(text):
        yield match.end() - len(match.group().lstrip(MARKS)), match.end()


def ibans(text: str) -> Iterator[tuple[int, int]]:
    """Yield IBANs with a valid check, separators or not."""
    for match in IBAN.finditer(text):
        wanted = checksums.IBAN_LENGTHS.get(match.group()[:2].upper(), 0)
        places = [at for at in range(match.start(), match.end()) if text[at].isalnum()][:wanted]
        if not wanted or len(places) < wanted:
            continue
        end = places[-1] + 1
        code = "".join(text[at] for at in places).upper()
        if checksums.iban(code) and not text[end : end + 1].isalnum():
            yield match.start(), end


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Yield payment card numbers: the Luhn digit, and an issuer's range or the word card before them."""
    for match in CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        named = NAMED_CARD.search(text[max(0, match.start() - NEAR_CHARS) : match.start()])
        if (named or CARD_ISSUER.match(digits)) and len(set(digits)) > 1 and checksums.luhn(digits):
            yield match.span()


def addresses_of_hosts(text: str) -> Iterator[tuple[int, int]]:
    """Yield IP addresses of both versions that name one host; neither loopback nor masks nor version numbers."""
    for pattern in (IPV4, IPV4_IN_URL, IPV6):
        for match in pattern.finditer(text):
            if names_host(match.group()) and not VERSIONED.search(text[max(0, match.start() - 12) : match.start()]):
                yield match.span()


def names_host(candidate: str) -> bool:
    """Return whether the text is an address that some host may have."""
    try:
        address = ipaddress.ip_address(candidate)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        # `a::b` is code far more often than an address.
        if len([part for part in candidate.split(":") if part]) < 3 or not any(map(str.isdigit, candidate)):
            return False
    elif address.packed[0] in (0, 255):
        return False
    return not (address.is_loopback or address.is_unspecified)


def national_ids(text: str) -> Iterator[tuple[int, int]]:
    """Yield numbers that a state gives a person."""
    for token in NUMBERED.finditer(text):
        for rule, pattern, near in COMPILED_IDS:
            match = pattern.match(text, token.start())
            if match is None or not rule.valid(bare(match.group())):
                continue
            if near is None or near.search(text, max(0, match.start() - NEAR_CHARS), match.start()):
                yield match.span()


def compiled(rule: NationalId) -> tuple[NationalId, re.Pattern[str], re.Pattern[str] | None]:
    """Return a rule with its patterns: bounded on the right, letters in any case."""
    bounded = re.compile(rf"{rule.pattern}(?![\w-]|[.,]\d)", re.IGNORECASE)
    return rule, bounded, re.compile(rule.near, re.IGNORECASE) if rule.near else None


def wallets(text: str) -> Iterator[tuple[int, int]]:
    """Yield addresses of cryptocurrency wallets; older Bitcoin ones by checksum."""
    for match in WALLET.finditer(text):
        if match.group()[0] not in "13" or checksums.bitcoin(match.group()):
            yield match.span()


def urls(text: str) -> Iterator[tuple[int, int]]:
    """Yield web addresses, without the punctuation behind them."""
    for match in URL.finditer(text):
        yield match.start(), match.start() + len(match.group().rstrip(".,;:!?"))


COMPILED_IDS = tuple(compiled(rule) for rule in NATIONAL_IDS)
FINDERS: dict[Kind, Finder] = {
    "secret": secrets,
    "credentials": whole(CREDENTIALS),
    "email": emails,
    "iban": ibans,
    "card": cards,
    "national_id": national_ids,
    "document_id": inner(DOCUMENT_ID),
    "bank_account": inner(BANK_ACCOUNT),
    "birth_date": inner(BIRTH_DATE),
    "ip": addresses_of_hosts,
    "phone": phone_spans,
    "wallet": wallets,
    "url": urls,
}
