"""Finds the newest message of a merchant on a lender's topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from scorers.applications.messages import Decision
from streams.brokers.reading import whole_topic
from streams.contract.messages import LimitUpdate
from streams.errors import OperatorError

if TYPE_CHECKING:
    from streams.settings import Settings

_update = msgspec.json.Decoder(LimitUpdate).decode
_decision = msgspec.json.Decoder(Decision).decode


def newest_update(settings: Settings, lender: str, merchant: str, product: str) -> bytes:
    """Return the limit update of the highest version, as it stands on the topic.

    Raises:
        BrokerError: The broker cannot be reached, or lacks the topic.
        OperatorError: There is no such lender, or none for this merchant and product.
    """
    found, version = None, 0
    for record in whole_topic(settings, settings.topics.limit_updates(_known(settings, lender))):
        try:
            update = _update(record.value or b"")
        except msgspec.DecodeError:
            continue
        named = (update.merchant_id, update.product) == (merchant, product)
        if named and update.version > version:
            found, version = record.value, update.version
    if found is None:
        raise OperatorError(
            f"There is no limit update of {merchant!r} for the product {product!r} on the topic of "
            f"{lender}: check both ids."
        )
    return bytes(found)


def newest_decision(settings: Settings, lender: str, merchant: str, application: str) -> bytes:
    """Return the newest decision on an application, as it stands on the topic.

    Raises:
        BrokerError: The broker cannot be reached, or lacks the topic.
        OperatorError: There is no such lender, or none on this application.
    """
    found = None
    for record in whole_topic(settings, settings.topics.decisions(_known(settings, lender))):
        try:
            decision = _decision(record.value or b"")
        except msgspec.DecodeError:
            continue
        if (decision.merchant_id, decision.application_id) == (merchant, application):
            found = record.value
    if found is None:
        raise OperatorError(
            f"There is no decision on application {application!r} of {merchant!r} on the topic of "
            f"{lender}: check both ids; decisions go after seven days."
        )
    return bytes(found)


def _known(settings: Settings, lender: str) -> str:
    if lender not in settings.lenders:
        raise OperatorError(
            f"There is no lender {lender!r}: there are {', '.join(settings.lenders)}."
        )
    return lender
