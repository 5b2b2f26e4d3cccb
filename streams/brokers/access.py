"""Makes the access lists of the registry on the broker, and takes nothing away."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import SecurityDisabledError

from streams.brokers.provision import administration
from streams.contract.access import Entry, access_list
from streams.errors import BrokerError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kafka.admin import KafkaAdminClient

    from streams.settings import Settings

ANY_HOST = "*"


def wanted_access(settings: Settings) -> list[Entry]:
    """Every entry that the registry asks for, under the principals of the settings.

    Raises:
        SettingsError: Two parties that must be kept apart have the same principal.
    """
    try:
        return access_list(settings.topics, settings.principals.by_party())
    except ValueError as error:
        raise SettingsError(
            f"Correct the settings principals: {error} (docs/settings.md)."
        ) from None


def apply_access(settings: Settings) -> list[Entry]:
    """Make the entries that the broker lacks, and return them. Whatever else is there stays.

    Who calls it needs ALTER on the cluster, and with that could open anything to anyone.

    Raises:
        BrokerError: The broker cannot be reached, refuses us, or keeps no access lists.
        SettingsError: Two parties that must be kept apart have the same principal.
    """
    wanted = wanted_access(settings)
    try:
        with administration(settings) as admin:
            there = existing_acls(admin)
            missing = [entry for entry in wanted if acl_of(entry) not in there]
            if missing:
                failed = admin.create_acls([acl_of(entry) for entry in missing])["failed"]
                if failed:
                    raise failed[0]()
            return missing
    except BrokerError as error:
        if isinstance(error.__cause__, SecurityDisabledError):
            raise BrokerError(
                f"The broker {settings.bootstrap_servers} keeps no access lists, everybody may do "
                "everything there: set authorizer.class.name in its configuration."
            ) from error.__cause__
        raise


def existing_acls(admin: KafkaAdminClient) -> set[ACL]:
    """All that the broker has, whoever made it.

    Raises:
        KafkaError: It keeps no access lists, or does not show them to us.
    """
    pattern = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    everything = ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, pattern)
    acls, _ = admin.describe_acls(everything)
    return set(acls)


def acl_of(entry: Entry) -> ACL:
    """An entry as kafka-python has it."""
    pattern = ResourcePattern(
        ResourceType[entry.resource], entry.name, ACLResourcePatternType[entry.pattern]
    )
    allow = ACLPermissionType.ALLOW
    return ACL(entry.principal, ANY_HOST, ACLOperation[entry.operation], allow, pattern)


def as_data(entries: Iterable[Entry]) -> list[dict[str, str]]:
    """The entries as plain data, for JSON."""
    return [dataclasses.asdict(entry) for entry in entries]
