"""Policies as an operator sees them: read from a file or from the topic, and published."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import msgspec

from scorers.catalogue import Catalogue
from scorers.policy import Policy, dump_policy, load_policy
from streams.brokers.publishing import publish
from streams.brokers.reading import whole_topic
from streams.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings


def policy_in(file: Path) -> Policy:
    """Read a policy from a file in TOML (`.toml`) or JSON.

    Raises:
        OperatorError: It cannot be read, or makes no sense; the sentence names field and rule.
    """
    try:
        raw = file.read_bytes()
        if file.suffix == ".toml":
            raw = msgspec.json.encode(tomllib.loads(raw.decode()))
        return load_policy(raw)
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OperatorError(f"{file} is not TOML: {error}.") from None
    except ValueError as error:
        raise OperatorError(f"{file}: {error}.") from None


def read_policies(settings: Settings) -> tuple[Catalogue, list[str]]:
    """Return the policies that count, and why others on the topic do not.

    Raises:
        BrokerError: The broker cannot be reached, or lacks the topic.
    """
    catalogue, refused = Catalogue(settings.lenders), []
    for record in whole_topic(settings, settings.topics.policies):
        if record.value is None:
            continue
        try:
            catalogue.add(load_policy(record.value), record.offset)
        except ValueError as error:
            refused.append(f"offset {record.offset}: {error}")
    return catalogue, refused


def publish_policy(settings: Settings, policy: Policy) -> None:
    """Write a policy to the topic.

    Raises:
        BrokerError: The broker did not take it.
    """
    shadow = ".shadow" if policy.shadow else ""
    key = f"{policy.lender}.{policy.product}{shadow}.{policy.version}".encode()
    publish(settings, settings.topics.policies, key, dump_policy(policy))
