"""Check digits of numbers that name a person or an account: pure functions over text without separators."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

# Source: ISO 13616, IBAN registry release 99: the whole length of an IBAN by country.
IBAN_LENGTHS: Mapping[str, int] = MappingProxyType(
    {
        country: length
        for length, countries in {
            15: "NO",
            16: "BE",
            18: "DK FI FO GL NL SD FK",
            19: "MK SI",
            20: "AT BA EE KZ LT LU XK MN",
            21: "CH HR LI LV",
            22: "BG BH CR DE GB GE IE ME RS VA",
            23: "AE IL TL GI IQ OM SO",
            24: "AD CZ ES MD PK RO SA SE SK TN VG",
            25: "LY PT ST",
            26: "IS TR",
            27: "BI DJ FR GR IT MC MR SM",
            28: "AL AZ BY CY DO GT HU LB PL SV NI HN",
            29: "BR EG PS QA UA",
            30: "JO KW MU YE",
            31: "MT SC",
            32: "LC",
            33: "RU",
        }.items()
        for country in countries.split()
    }
)
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BITCOIN_VERSIONS = (0x00, 0x05)
# Source: J. Verhoeff, "Error detecting decimal codes", 1969: the dihedral group D5 and its permutation.
VERHOEFF_TIMES = (
    *("0123456789", "1234067895", "2340178956", "3401289567", "4012395678"),
    *("5987604321", "6598710432", "7659821043", "8765932104", "9876543210"),
)
VERHOEFF_SHIFTS = (
    *("0123456789", "1576283094", "5803796142", "8916043527"),
    *("9453126870", "4286573901", "2793806415", "7046913258"),
)


def luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of the others. Source: ISO/IEC 7812-1, annex B."""
    doubled = [int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def iban(code: str) -> bool:
    """Return whether an IBAN in capitals has its country's length and leaves 1 modulo 97. Source: ISO 13616-1."""
    if len(code) != IBAN_LENGTHS.get(code[:2]):
        return False
    return int("".join(str(int(letter, 36)) for letter in code[4:] + code[:4])) % 97 == 1


def weighted(digits: str, weights: Sequence[int]) -> int:
    """Return the sum of the digits times their weights; digits beyond the weights do not count."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def verhoeff(digits: str) -> bool:
    """Return whether the number carries its Verhoeff check digit."""
    state = 0
    for at, digit in enumerate(reversed(digits)):
        state = int(VERHOEFF_TIMES[state][int(VERHOEFF_SHIFTS[at % 8][int(digit)])])
    return state == 0


def mod_11_10(digits: str) -> bool:
    """Return whether the last digit checks the others. Source: ISO/IEC 7064, MOD 11,10."""
    product = 10
    for digit in digits[:-1]:
        product = 2 * ((int(digit) + product) % 10 or 10) % 11
    return (11 - product) % 10 == int(digits[-1])


def bitcoin(address: str) -> bool:
    """Return whether a Base58Check address carries the checksum of its payload. Source: Bitcoin Core, base58.cpp."""
    number = 0
    for letter in address:
        at = BASE58.find(letter)
        if at < 0:
            return False
        number = number * 58 + at
    try:
        data = number.to_bytes(25, "big")
    except OverflowError:
        return False
    digest = hashlib.sha256(hashlib.sha256(data[:21]).digest()).digest()
    return data[0] in BITCOIN_VERSIONS and digest[:4] == data[21:]
