"""The time zones of merchants: that of the installation, and those that merchants have registered.

A record names its zone by 32 bits (`calendar.zone_key`), so a zone that a restored record names
must be one that this machine knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from features.calendar import (
    DEFAULT_ZONE,
    UnknownZone,
    end_to_end,
    load_zone,
    zone_key,
    zone_name,
    zone_names,
)
from scorers.entitlements import zones_in

if TYPE_CHECKING:
    from features.calendar import Zone
    from features.restore import Records
    from scorers.entitlements import Entitled

_DEFAULT = int(DEFAULT_ZONE)


def key_of_name(name: str) -> int | None:
    """Return what a record says for a zone of this name; None when there is no such zone."""
    return zone_key(name) if name in zone_names() else None


def name_in(record: Entitled | None, installations: str) -> str:
    """Return the IANA name of a merchant's zone.

    Args:
        record: of the merchant; None when it has none.
        installations: name of the installation's zone.

    Raises:
        UnknownZone: this machine does not know the zone that the record names.
    """
    key = _DEFAULT if record is None else int(record.zone)
    return installations if key == _DEFAULT else zone_name(key)


class MerchantZones:
    """The zones of one partition's merchants, loaded as they are met.

    Args:
        installations: the zone of every merchant that has registered none.

    Attributes:
        kernels: all zones so far, for kernels; replaced when one is added.

    >>> zones = MerchantZones(load_zone("Asia/Shanghai"))
    >>> zones.add(zone_key("America/New_York"))
    >>> len(zones.kernels.keys)
    2
    """

    def __init__(self, installations: Zone) -> None:
        self._zones = {_DEFAULT: installations}
        self.kernels = end_to_end(self._zones)

    @property
    def installations(self) -> Zone:
        """The zone of every merchant that has registered none."""
        return self._zones[_DEFAULT]

    def of(self, record: Entitled | None) -> Zone:
        """Return the zone of the merchant of a record; None is that of one without."""
        return self._zones[_DEFAULT if record is None else int(record.zone)]

    def add(self, key: int) -> None:
        """Have the zone of a key ready.

        Raises:
            UnknownZone: this machine does not know it.
        """
        if key not in self._zones:
            self._zones[key] = load_zone(zone_name(key))
            self.kernels = end_to_end(self._zones)

    def restore(self, records: Records) -> None:
        """Have the zones ready that records name which stand behind rows in the changelog.

        Raises:
            UnknownZone: this machine does not know one of them; the merchant is named.
        """
        keys, places = np.unique(zones_in(records), return_index=True)
        for key, i in zip(keys.tolist(), places.tolist(), strict=True):
            try:
                self.add(key)
            except UnknownZone as error:
                at, length = int(records.key_at[i]), int(records.key_length[i])
                merchant = records.text[at : at + length].tobytes()
                raise UnknownZone(f"merchant {merchant!r}: {error}") from None
