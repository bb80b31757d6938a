"""Numbers that a state gives a person: their form, their check digits, and the words they need beside them.

A form that ordinary numbers share counts only near a word that names it; one that is rare by itself, or
that a check digit confirms, counts anywhere. Source: the issuing authorities' published rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ragopt.privacy.checksums import luhn, mod_11_10, verhoeff, weighted

SEPARATORS = re.compile(r"[ .\-/]")
DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
HETU_LETTERS = "0123456789ABCDEFHJKLMNPRSTUVWXY"
CODICE_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
CHINA_CHECKS = "10X98765432"
NRIC_CHECKS = {"S": "JZIHGFEDCBA", "T": "GFEDCBAJZIH", "F": "XWUTRQPNMLK", "G": "RQPNMLKXWUT"}


@dataclass(frozen=True, slots=True)
class NationalId:
    """One kind of number. valid: asked with the separators gone, in capitals. near: words it needs before it, or ""."""

    pattern: str
    valid: Callable[[str], bool]
    near: str = ""


def always(_: str) -> bool:
    """Return true: the form is all there is to check."""
    return True


def social_security(digits: str) -> bool:
    """Return whether an SSN or ITIN could have been given out. Source: SSA, POMS RM 10201.035; IRS, ITIN ranges."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area[0] == "9":
        return group[0] in "5678" or group in {"90", "91", "92", "94", "95", "96", "97", "98", "99"}
    return area not in {"000", "666"} and group != "00" and serial != "0000"


def day_and_month(day: str, month: str) -> bool:
    """Return whether both are in range."""
    return 1 <= int(day) <= 31 and 1 <= int(month) <= 12


def spain(code: str) -> bool:
    """Return whether a DNI or NIE carries its letter."""
    number = code[:-1].translate(str.maketrans("XYZ", "012"))
    return DNI_LETTERS[int(number) % 23] == code[-1]


def italy(code: str) -> bool:
    """Return whether a codice fiscale carries its check letter."""
    total = 0
    for at, letter in enumerate(code[:15]):
        value = int(letter) if letter.isdigit() else ord(letter) - ord("A")
        total += value if at % 2 else CODICE_ODD[value]
    return chr(ord("A") + total % 26) == code[15]


def france(code: str) -> bool:
    """Return whether a NIR carries its key."""
    number = code[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(code[13:])


def belgium(digits: str) -> bool:
    """Return whether a national number carries its check, for either century."""
    return any(97 - int(century + digits[:9]) % 97 == int(digits[9:]) for century in ("", "2"))


def netherlands(digits: str) -> bool:
    """Return whether a BSN passes the eleven test."""
    return weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and int(digits) > 0


def poland(digits: str) -> bool:
    """Return whether a PESEL carries its check digit."""
    return weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0 and 1 <= int(digits[4:6]) <= 31


def portugal(digits: str) -> bool:
    """Return whether a NIF carries its check digit."""
    rest = weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return int(digits[8]) == (0 if rest < 2 else 11 - rest)


def sweden(digits: str) -> bool:
    """Return whether a personnummer holds a date and carries its check digit; a coordination number has day + 60."""
    return luhn(digits[-10:]) and day_and_month(str(int(digits[-6:-4]) % 60), digits[-8:-6])


def finland(code: str) -> bool:
    """Return whether a henkilötunnus holds a date and carries its check character."""
    return day_and_month(code[:2], code[2:4]) and HETU_LETTERS[int(code[:6] + code[-4:-1]) % 31] == code[-1]


def norway(digits: str) -> bool:
    """Return whether a fødselsnummer carries both check digits."""
    first = weighted(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1))
    return first % 11 == 0 and weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def switzerland(digits: str) -> bool:
    """Return whether an AHV number carries its EAN-13 check digit."""
    return weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0


def brazil(digits: str) -> bool:
    """Return whether a CPF carries both check digits."""
    first = weighted(digits, range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(digits, range(11, 1, -1)) * 10 % 11 % 10
    return digits[9:] == f"{first}{second}" and len(set(digits)) > 1


def china(code: str) -> bool:
    """Return whether a resident identity number carries its check character. Source: GB 11643-1999."""
    weights = [2 ** (17 - at) % 11 for at in range(17)]
    return CHINA_CHECKS[weighted(code[:17], weights) % 11] == code[17] and day_and_month(code[12:14], code[10:12])


def singapore(code: str) -> bool:
    """Return whether an NRIC or FIN carries its check letter."""
    return NRIC_CHECKS[code[0]][weighted(code[1:8], (2, 7, 6, 5, 4, 3, 2)) % 11] == code[8]


def turkey(digits: str) -> bool:
    """Return whether a T.C. number carries both check digits."""
    odd, even = (sum(int(digit) for digit in digits[start:9:2]) for start in (0, 1))
    tenth = (7 * odd - even) % 10
    return f"{tenth}{(odd + even + tenth) % 10}" == digits[9:]


def south_africa(digits: str) -> bool:
    """Return whether an identity number holds a date and carries its check digit."""
    return luhn(digits) and day_and_month(digits[4:6], digits[2:4])


def health_service(digits: str) -> bool:
    """Return whether an NHS number carries its check digit."""
    return weighted(digits, range(10, 0, -1)) % 11 == 0


def tax_file(digits: str) -> bool:
    """Return whether an Australian TFN passes its check."""
    return weighted(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


NATIONAL_IDS = (
    NationalId(r"\d{3}-\d{2}-\d{4}", social_security),
    NationalId(r"\d{3} ?\d{2} ?\d{4}", social_security, r"ssn|social security|itin"),
    NationalId(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] \d{2} \d{2} \d{2} [A-D]", always),
    NationalId(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]", always, r"\bni(?:no)?\b|national insurance"),
    NationalId(r"\d{3}[ -]?\d{3}[ -]?\d{4}", health_service, r"nhs"),
    NationalId(r"\d{3}[ -]?\d{3}[ -]?\d{3}", luhn, r"\bsin\b|social insurance"),
    NationalId(r"\d{3} ?\d{3} ?\d{3}", tax_file, r"tfn|tax file"),
    NationalId(r"(?:[XYZ]-?\d{7}|\d{2}\.?\d{3}\.?\d{3})-?[A-HJ-NP-TV-Z]", spain),
    NationalId(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", italy),
    NationalId(r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", france),
    NationalId(r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}", mod_11_10, r"steuer|tax id|idnr|\btin\b"),
    NationalId(r"\d{9}", netherlands, r"bsn|burgerservice"),
    NationalId(r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", belgium),
    NationalId(r"\d{11}", belgium, r"rijksregister|registre national|national number"),
    NationalId(r"\d{11}", poland, r"pesel"),
    NationalId(r"[1-3568]\d{8}", portugal, r"\bnif\b|contribuinte"),
    NationalId(r"(?:19|20)?\d{6}[-+]\d{4}", sweden),
    NationalId(r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", finland),
    NationalId(r"\d{6} ?\d{5}", norway, r"f[øo]dselsn|personnummer|national id"),
    NationalId(r"\d{6}-?\d{4}", always, r"\bcpr\b"),
    NationalId(r"756\.?\d{4}\.?\d{4}\.?\d{2}", switzerland),
    NationalId(r"\d{3}\.\d{3}\.\d{3}-\d{2}", brazil),
    NationalId(r"\d{11}", brazil, r"\bcpf\b"),
    NationalId(r"\d{11}", turkey, r"\bt\.?c\.?\b|kimlik"),
    NationalId(r"[2-9]\d{3} ?\d{4} ?\d{4}", verhoeff, r"aadhaar|aadhar|uidai"),
    NationalId(r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", always),
    NationalId(r"[1-9]\d{16}[\dX]", china),
    NationalId(r"\d{6}-[1-8]\d{6}", lambda digits: day_and_month(digits[4:6], digits[2:4])),
    NationalId(r"[STFG]\d{7}[A-Z]", singapore),
    NationalId(r"\d{13}", south_africa, r"\bid\b|identity"),
)


def bare(found: str) -> str:
    """Return a number without separators, in capitals; plus and minus that tell a century are gone too."""
    return SEPARATORS.sub("", found).replace("+", "").upper()
