"""What a distributor's policy for the fund sweep says."""

from __future__ import annotations

import msgspec

from features.bounds import LARGEST_IDENTIFIER

PRODUCT = "fund_sweep"
"""Product of the policies that carry these terms."""

LARGEST_DAILY_T0 = 1_000_000
"""10,000 yuan in fen: no investor has more advanced on one local day, whatever a policy says."""

CURRENCY = "CNY"
"""The currency that the rule, and so every policy, is in."""

MOST_BANKS = 100


class FundTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A distributor's terms for T+0 redemption.

    Attributes:
        daily_t0_limit: most that an investor has advanced on one local day over all funds and
            distributors, in fen, 0 (no T+0) to 1,000,000.
        qualified_banks: ids of the commercial banks that may advance T+0 money.
        currency: ISO 4217 code; the rule is in CNY.

    >>> FundTerms(daily_t0_limit=2_000_000, qualified_banks=("icbc", "icbc")).wrong()
    ['daily_t0_limit is 2000000, not between 0 and 1000000', "qualified_banks names 'icbc' twice"]
    """

    daily_t0_limit: int = LARGEST_DAILY_T0
    qualified_banks: tuple[str, ...]
    currency: str = CURRENCY

    def wrong(self) -> list[str]:
        """Return everything that is wrong with the terms; nothing is an empty list."""
        wrong = []
        banks = self.qualified_banks
        if not 0 <= self.daily_t0_limit <= LARGEST_DAILY_T0:
            wrong.append(
                f"daily_t0_limit is {self.daily_t0_limit}, not between 0 and {LARGEST_DAILY_T0}"
            )
        if self.daily_t0_limit > 0 and not banks:
            wrong.append("qualified_banks is empty: nobody could advance the daily_t0_limit")
        if len(banks) > MOST_BANKS:
            wrong.append(f"qualified_banks has {len(banks)} names; {MOST_BANKS} are allowed")
        wrong.extend(
            f"qualified_banks has {bank!r}, not of 1 to {LARGEST_IDENTIFIER} bytes"
            for bank in dict.fromkeys(banks)
            if not 1 <= len(bank.encode("utf-8", "replace")) <= LARGEST_IDENTIFIER
        )
        wrong.extend(
            f"qualified_banks names {bank!r} twice"
            for bank in dict.fromkeys(banks)
            if banks.count(bank) > 1
        )
        if self.currency != CURRENCY:
            wrong.append(f"currency is {self.currency!r}; the daily limit is a rule in {CURRENCY}")
        return wrong

    def check(self) -> None:
        """Refuse terms that cannot mean what they say.

        Raises:
            ValueError: lists everything that is wrong.
        """
        if wrong := self.wrong():
            raise ValueError("fund terms refused: " + "; ".join(wrong))
