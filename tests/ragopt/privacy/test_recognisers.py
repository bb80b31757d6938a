"""Personal data is found by form and checksum, and what only looks like it is left alone."""

from __future__ import annotations

import pytest

from ragopt.privacy.recognisers import BY_FORM, Kind, findings

# Keys are written in two pieces: a scanner of this repository must not take them for real ones.
FOUND: list[tuple[str, Kind, str]] = [
    ("pay with 4111 1111 1111 1111, please", "card", "4111 1111 1111 1111"),
    ("Amex 3782-822463-10005.", "card", "3782-822463-10005"),
    ("an old Visa, 4735110554588", "card", "4735110554588"),
    ("transfer to GB29 NWBK 6016 1331 9268 19 today", "iban", "GB29 NWBK 6016 1331 9268 19"),
    ("iban de89370400440532013000", "iban", "de89370400440532013000"),
    ("write to Jörg.Müller+x@mail.example.co.uk.", "email", "Jörg.Müller+x@mail.example.co.uk"),
    ("jane (at) example.org knows", "email", "jane (at) example.org"),
    ("call +44 20 7946 0958 now", "phone", "+44 20 7946 0958"),
    ("(602)272-9781x12 is the number", "phone", "(602)272-9781x12"),
    ("Mobile: 432 03 163", "phone", "432 03 163"),
    ("my number is 374 780 163", "phone", "374 780 163"),
    ("25 833387-Office", "phone", "25 833387"),
    ("Tel 030/12345678", "phone", "030/12345678"),
    ("host 192.168.1.17 is down", "ip", "192.168.1.17"),
    ("see http://203.0.113.7/x", "ip", "203.0.113.7"),
    ("from 2001:db8:85a3::8a2e:370:7334", "ip", "2001:db8:85a3::8a2e:370:7334"),
    ("postgres://app:pa55@db/x", "credentials", "app:pa55"),
    ("redis://:pa55@db/0", "credentials", ":pa55"),
    ("key " + "sk-" + "ant-" + "a1B2" * 8, "secret", "sk-" + "ant-" + "a1B2" * 8),
    ("use " + "AK" + "IA" + "ABCDEFGH12345678" + ".", "secret", "AK" + "IA" + "ABCDEFGH12345678"),
    ("password: hunter22x", "secret", "hunter22x"),
    ("SSN 195-60-0922", "national_id", "195-60-0922"),
    ("DNI 12345678Z", "national_id", "12345678Z"),
    ("CF RSSMRA85T10A562S", "national_id", "RSSMRA85T10A562S"),
    ("NIR 2 55 08 14 168 025 38", "national_id", "2 55 08 14 168 025 38"),
    ("Steuer-ID 86095742719", "national_id", "86095742719"),
    ("BSN 111222333", "national_id", "111222333"),
    ("85.07.30-033.28", "national_id", "85.07.30-033.28"),
    ("PESEL: 44051401359", "national_id", "44051401359"),
    ("NIF 123456789", "national_id", "123456789"),
    ("19811218-9876", "national_id", "19811218-9876"),
    ("131052-308T", "national_id", "131052-308T"),
    ("AHV 756.9217.0769.85", "national_id", "756.9217.0769.85"),
    ("CPF 111.444.777-35", "national_id", "111.444.777-35"),
    ("Aadhaar 2341 2341 2346", "national_id", "2341 2341 2346"),
    ("id 11010519491231002X", "national_id", "11010519491231002X"),
    ("NRIC S1234567D", "national_id", "S1234567D"),
    ("identity number 8001015009087", "national_id", "8001015009087"),
    ("social insurance 046 454 286", "national_id", "046 454 286"),
    ("TFN 123 456 782", "national_id", "123 456 782"),
    ("NHS 943 476 5919", "national_id", "943 476 5919"),
    ("T.C. 10000000146", "national_id", "10000000146"),
    ("My driver's license number is A56319335", "document_id", "A56319335"),
    ("passport: C01X00T47", "document_id", "C01X00T47"),
    ("account number 12345678", "bank_account", "12345678"),
    ("born on 12 March 1980 in Ulm", "birth_date", "12 March 1980"),
    ("DOB: 03/12/1980", "birth_date", "03/12/1980"),
    ("send to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "wallet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
]

CLEAN = [
    "",
    "4111 1111 1111 1112 fails its check digit",
    "GB29 NWBK 6016 1331 9268 18 as well",
    "order 1234567890 of 2024-01-02 12:11:10",
    "ISBN 978-3-16-148410-0, version 1.2.3.4, 127.0.0.1, 255.255.255.0",
    "123e4567-e89b-12d3-a456-426614174000 and std::vector and a::b at 12:30:45",
    "from 1995/96 to 2019-2020, $1,234,567.00 and 0.17-0.44 of 165 (58.5 %)",
    "enzyme EC 3.1.1.11 and SR141716A in section 4.2.1.7",
    "666-12-3456 was never given out, nor was 123-00-4567",
    "the password is wrong, the api key: none",
    "He was born in Ulm in 1879 and called 3 times.",
    "17031 2202 Rissik St Apt. 050",
]


@pytest.mark.parametrize(
    ("text", "kind", "value"), FOUND, ids=[f"{kind}-{at}" for at, (_, kind, _) in enumerate(FOUND)]
)
def test_each_form_is_found_exactly(text: str, kind: Kind, value: str) -> None:
    """One finding, of its kind, from its first character to its last."""
    found = findings(text)
    assert [(item.kind, text[item.start : item.end]) for item in found] == [(kind, value)]


@pytest.mark.parametrize("text", CLEAN)
def test_look_alikes_are_left_alone(text: str) -> None:
    """Wrong check digits, dates, versions, code and figures are nobody's data."""
    assert findings(text) == []


def test_findings_are_disjoint_and_ascending() -> None:
    """Where two kinds fit the same digits the surer one is kept."""
    found = findings("card 4735110554588 or a@b.de, then IBAN DE89370400440532013000 and +49 89 636 48018")
    assert [item.kind for item in found] == ["card", "email", "iban", "phone"]
    assert all(one.end <= two.start for one, two in zip(found, found[1:], strict=False))


def test_only_the_wanted_kinds_are_found() -> None:
    """Web addresses are looked for only on demand."""
    text = "https://example.org/x and a@b.de"
    assert [item.kind for item in findings(text)] == ["email"]
    assert [item.kind for item in findings(text, BY_FORM | {"url"})] == ["url", "email"]
