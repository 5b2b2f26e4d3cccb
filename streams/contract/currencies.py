"""ISO 4217 currencies and their minor digits.

Source: ISO 4217:2015, list one (current currencies and funds) with its amendments up to 2026.
Codes for which the list says "N.A." have no minor unit and are left out: metals, bond units,
drawing rights, testing (XTS) and no currency (XXX). So are withdrawn codes.

Amounts arrive in minor units and stay integers: 80 yuan are 8000, 80 yen are 80, 80 dinars of
Kuwait are 80000. The digits are needed only where a person reads an amount.
"""

import numpy as np
from numpy.typing import NDArray

_ZERO = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_TWO = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF
    CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
    GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL
    MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR
    PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP
    TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_FOUR = "CLF UYW"

MINOR_DIGITS: dict[str, int] = {
    code: digits
    for codes, digits in ((_ZERO, 0), (_TWO, 2), (_THREE, 3), (_FOUR, 4))
    for code in codes.split()
}
"""Digits behind the decimal point, by code."""

UNKNOWN = -1
"""Entry of `MINOR_DIGITS_TABLE` where there is no such currency."""


def index_of(code: str) -> int:
    """Position of a code among all combinations of three capital letters, 0 to 17575.

    This is how kernels hold a currency. Whether the code exists is for the table to say.

    Raises:
        ValueError: The code is not three capital letters of ASCII.

    Example:
        >>> index_of("AAA"), index_of("CNY")
        (0, 1714)
    """
    if len(code) != 3 or not (code.isascii() and code.isalpha() and code.isupper()):
        raise ValueError(f"a currency is three capital letters, not {code!r}")
    first, second, third = (ord(letter) - 65 for letter in code)
    return (first * 26 + second) * 26 + third


def code_of(index: int) -> str:
    """The code at a position: the inverse of `index_of`.

    Raises:
        ValueError: The index is outside 0 to 17575.

    Example:
        >>> code_of(1714)
        'CNY'
    """
    if not 0 <= index < 26**3:
        raise ValueError(f"a currency's index lies in 0 to {26**3 - 1}, not {index}")
    rest, third = divmod(index, 26)
    first, second = divmod(rest, 26)
    return "".join(chr(65 + letter) for letter in (first, second, third))


def _table() -> NDArray[np.int8]:
    table = np.full(26**3, UNKNOWN, np.int8)
    for code, digits in MINOR_DIGITS.items():
        table[index_of(code)] = digits
    table.setflags(write=False)
    return table


MINOR_DIGITS_TABLE: NDArray[np.int8] = _table()
"""Digits by `index_of`, -1 where there is no such currency; int8[17576], for kernels."""


def amount_text(amount: int, code: str) -> str:
    """An amount of minor units as a person writes it, with thousands apart.

    Raises:
        KeyError: No such currency.

    Example:
        >>> amount_text(1234567, "CNY"), amount_text(80, "JPY"), amount_text(-5, "KWD")
        ('12,345.67 CNY', '80 JPY', '-0.005 KWD')
    """
    digits = MINOR_DIGITS[code]
    sign = "-" if amount < 0 else ""
    whole, part = divmod(abs(amount), 10**digits)
    behind = f".{part:0{digits}d}" if digits else ""
    return f"{sign}{whole:,}{behind} {code}"
