"""The one settings object, from a TOML file, `DUOSHOU_*` variables and the command line.

What is said on the command line wins over a variable, that over the file, that over the default.
`docs/settings.md` is generated from this module.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as UnreadableSettings

from streams.contract.topics import DEFAULT_PARTITIONS, PLATFORM, Topics
from streams.errors import SettingsError

CONFIG_VARIABLE = "DUOSHOU_CONFIG"

# pydantic-settings asks the class for its sources; the file is that of one call.
_file: ContextVar[Path | None] = ContextVar("settings file", default=None)

Compression = Literal["none", "snappy", "lz4", "zstd"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Lender = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,64}$")]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Principal = Annotated[str, Field(pattern=r"^\w+:.+$")]
Price = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class Security(BaseModel):
    """How to speak to the broker. Without any of it: plain text, no password."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tls: bool = Field(
        default=False,
        description="Speak TLS. Implied by any of the three files below.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authority that signed the broker's certificate; "
        "the system's authorities when left out.",
    )
    cert_file: Path | None = Field(
        default=None, description="PEM file of our own certificate (mutual TLS)."
    )
    key_file: Path | None = Field(
        default=None, description="PEM file of the key that belongs to it."
    )
    sasl_mechanism: SaslMechanism | None = Field(
        default=None, description="How to prove who we are with a password."
    )
    sasl_username: str | None = Field(default=None, description="Name at the broker.")
    sasl_password: SecretStr | None = Field(
        default=None,
        description="Password at the broker. Better given by its variable than by the file; "
        "it is never printed.",
    )

    @field_validator("ca_file", "cert_file", "key_file")
    @classmethod
    def _exists(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError(f"there is no file {path}")
        return path

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: give both or neither")
        parts = (self.sasl_mechanism, self.sasl_username, self.sasl_password)
        if any(part is not None for part in parts) and any(part is None for part in parts):
            raise ValueError(
                "sasl_mechanism, sasl_username and sasl_password belong together: "
                "give all three or none"
            )
        return self

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.tls or any((self.ca_file, self.cert_file, self.key_file))


class Principals(BaseModel):
    """Under which names the broker knows those who write and read topics.

    `duoshou topics access` makes access lists of them. Two may be the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    worker: Principal = Field(default="User:worker", description="The workers.")
    trainer: Principal = Field(default="User:trainer", description="The trainers.")
    payment_system: Principal = Field(
        default="User:payment-system", description="Whoever writes payments."
    )
    operator: Principal = Field(
        default="User:operator", description="Whoever runs the other commands."
    )
    lender: Principal = Field(
        default="User:lender-{lender}",
        description="Each lender; `{lender}` stands for its id.",
    )

    def by_party(self) -> dict[str, str]:
        """The same by the names that the topic registry has for them."""
        return {name.replace("_", " "): str(principal) for name, principal in self}


class Prices(BaseModel):
    """What the machines cost, for `duoshou cost` and the dashboard; `docs/cost.md` has the formula.

    The defaults are an example, to be replaced: list prices of a public cloud in mainland China,
    Alibaba Cloud's elastic container instances (0.1764 yuan a vCPU and hour, 0.0221 yuan a GiB and
    hour) and its solid-state disks, rounded.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str = Field(
        default="yuan",
        pattern=r"^[^\W\d_][\w .-]{0,15}$",
        description="What the prices are in: a word that is printed behind amounts.",
    )
    cpu_hour: Price = Field(default=0.1764, description="One processor for an hour.")
    memory_gb_month: Price = Field(
        default=16.0, description="10^9 bytes of memory for a month of 730 hours."
    )
    storage_gb_month: Price = Field(
        default=1.0,
        description="10^9 bytes of the broker's disks for a month; each replica counts.",
    )
    written_gb: Price = Field(
        default=0.0,
        description="10^9 bytes that workers write to the broker, with all it costs to copy them "
        "to the other replicas; 0 where traffic between machines is free.",
    )

    def by_what(self) -> dict[str, float]:
        """The prices by what each is for."""
        return {name: price for name, price in self if name != "currency"}


class Settings(BaseSettings):
    """Every setting of a worker and of the commands, with its default.

    Use `load_settings`: it adds the file, and turns what is wrong into one sentence.
    """

    model_config = SettingsConfigDict(
        env_prefix="DUOSHOU_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    bootstrap_servers: str = Field(
        default="127.0.0.1:9092",
        description="Brokers to ask first: host:port, several apart by commas.",
    )
    security: Security = Field(default=Security(), description="TLS and SASL.")
    principals: Principals = Field(default=Principals(), description="Who is who in access lists.")
    prices: Prices = Field(default=Prices(), description="What the machines cost.")
    application: str = Field(
        default="duoshou",
        pattern=r"^[a-zA-Z0-9._-]{1,100}$",
        description="Faust's application id and consumer group; the workers of one share the work.",
    )
    topic_prefix: str = Field(
        default="",
        pattern=r"^[a-zA-Z0-9._-]{0,100}$",
        description="Put before every topic, and before the group: lets several installations "
        "share one broker.",
    )
    partitions: int = Field(
        default=DEFAULT_PARTITIONS,
        ge=1,
        le=4096,
        description="Partitions of payments and of all that is keyed by merchant. The upper "
        "bound of the number of workers; can be raised only while there is no state.",
    )
    lenders: tuple[Lender, ...] = Field(
        default=(PLATFORM,),
        description="Lenders that may have policies, as a JSON list. Each has topics of its own; "
        "`platform`, whose policy for loans every merchant has, is always among them.",
    )
    zone: str = Field(
        default="Asia/Shanghai",
        description="IANA zone of the local days of merchants that registered none.",
    )
    checkpoint_interval_s: float = Field(
        default=1.0,
        ge=0.1,
        le=60,
        description="Seconds between two checkpoints of a partition: what a crash replays.",
    )
    checkpoint_interval_behind_s: float = Field(
        default=10.0,
        ge=0.1,
        le=600,
        description="The same while a worker is far behind, when fewer, larger checkpoints "
        "catch up faster.",
    )
    allowed_skew_s: int = Field(
        default=300,
        ge=0,
        le=86_400,
        description="How far ahead of its record's own timestamp a payment may lie, in seconds; "
        "beyond that it is dead-lettered from_the_future.",
    )
    late_horizon_s: int = Field(
        default=86_400,
        ge=60,
        le=86_400,
        description="How far behind the newest payment of its merchant a payment may lie, in "
        "seconds; beyond that it is dead-lettered too_late. Payment ids are remembered for 24 "
        "hours, so it cannot be more.",
    )
    standby_replicas: int = Field(
        default=0,
        ge=0,
        le=8,
        description="Workers that keep a copy of each partition's rows, to take over at once.",
    )
    session_timeout_s: float = Field(
        default=60.0,
        ge=6,
        le=1800,
        description="Seconds of silence after which the broker gives a worker's partitions to "
        "another.",
    )
    fetch_max_wait_ms: int = Field(
        default=20,
        ge=1,
        le=1500,
        description="How long the broker may hold a fetch open that has nothing to return. "
        "Bounds the latency of a quiet topic.",
    )
    max_batch_bytes_uncompressed: int = Field(
        default=64 * 1024 * 1024,
        ge=1024 * 1024,
        le=2**31 - 1,
        description="Largest record batch after decompression, in bytes. A larger one is "
        "skipped and reported: it would fill the memory.",
    )
    compression: Compression = Field(
        default="snappy", description="Compression of what the worker writes."
    )
    idempotence: bool = Field(
        default=True,
        description="Whether the worker writes idempotently and reads committed records only. "
        "Off for a broker that knows no transactions, such as the embedded one.",
    )
    ticks: bool = Field(
        default=True,
        description="Whether the worker lets time pass for quiet merchants. Off for "
        "the run of a backfill, which brings its own ticks.",
    )
    snapshot_examples: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Outcomes that the trainer learns between two models that it publishes.",
    )
    snapshot_interval_s: float = Field(
        default=60.0,
        ge=0.1,
        le=86_400,
        description="Seconds after which it publishes what it has learnt, however little.",
    )
    tick_interval_s: float = Field(
        default=60.0, ge=1, le=3600, description="Seconds between two ticks."
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        description="Address of /metrics, /livez and /readyz. Everyone who reaches it may read.",
    )
    metrics_port: int = Field(
        default=9464, ge=0, le=65_535, description="Its port; 0 takes any that is free."
    )
    data_directory: Path = Field(
        default=Path("~/.cache/duoshou"),
        description="Downloaded jars and Faust's own files: nothing that cannot be made again.",
    )
    log_level: LogLevel = Field(default="INFO", description="Least important line that is logged.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (pydantic passes it by name)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the same)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line, then variables, then the file that `load_settings` names."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _file.get()))

    @field_validator("bootstrap_servers")
    @classmethod
    def _are_addresses(cls, servers: str) -> str:
        for server in servers.split(","):
            host, colon, port = server.strip().rpartition(":")
            if not (colon and host and port.isdigit() and 0 < int(port) < 65_536):
                raise ValueError(f"{server.strip()!r} is not host:port")
        return servers

    @field_validator("lenders")
    @classmethod
    def _has_the_platform(cls, lenders: tuple[str, ...]) -> tuple[str, ...]:
        return lenders if PLATFORM in lenders else (*lenders, PLATFORM)

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{name!r} is not an IANA zone, such as Asia/Shanghai") from None
        return name

    @field_validator("data_directory")
    @classmethod
    def _is_absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @property
    def topics(self) -> Topics:
        """The topic registry of this installation."""
        return Topics(
            partitions=self.partitions,
            prefix=self.topic_prefix,
            application=self.application,
            lenders=self.lenders,
        )

    def as_environment(self) -> dict[str, str]:
        """The same settings as `DUOSHOU_*` variables, for a process of ours.

        The password is among them in the clear: other users cannot read a process's environment,
        as they could its arguments.
        """
        return {
            f"DUOSHOU_{name.upper()}": _variable(value)
            for name, value in _flat(self)
            if value is not None
        }


def _flat(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in model:
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{prefix}{name}__")
        else:
            yield f"{prefix}{name}", value


def _variable(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, tuple) else str(value)


def load_settings(config: Path | None = None, **chosen: object) -> Settings:
    """Read and check the settings.

    Args:
        config: The TOML file; `DUOSHOU_CONFIG` names it when left out; none is needed.
        chosen: What was said on the command line, by setting; None means nothing was said.

    Raises:
        SettingsError: In one sentence: which setting, what is wrong, where to correct it.
    """
    path = config or (Path(named) if (named := os.environ.get(CONFIG_VARIABLE)) else None)
    if path is not None and not path.is_file():
        raise SettingsError(
            f"There is no settings file {path}: correct --config or {CONFIG_VARIABLE}."
        )

    said = {name: value for name, value in chosen.items() if value is not None}
    before = _file.set(path)
    try:
        return Settings(**said)  # type: ignore[arg-type]
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"Correct the settings file {path}, it is not TOML: {error}.") from None
    except UnreadableSettings:
        # Its message quotes the variable's text, which may be a secret.
        raise SettingsError(
            "Correct the DUOSHOU_ variables: a group of settings takes JSON, or one variable "
            "each, such as DUOSHOU_SECURITY__SASL_USERNAME."
        ) from None
    except ValidationError as error:
        raise SettingsError(_sentence(error, path)) from None
    finally:
        _file.reset(before)


def _sentence(error: ValidationError, path: Path | None) -> str:
    """The first thing that is wrong, without the value (it may be a secret)."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    file = f" in {path}" if path else ""
    if first["type"] == "extra_forbidden":
        groups: dict[str, type[BaseModel]] = {
            "security": Security,
            "principals": Principals,
            "prices": Prices,
        }
        known = groups.get(place[0], Settings).model_fields
        close = difflib.get_close_matches(place[-1], known, 1)
        instead = f"; did you mean {close[0]}" if close else ", see docs/settings.md"
        return f"Correct the setting {name}{file}: there is none of that name{instead}."
    variable = "DUOSHOU_" + "__".join(place).upper()
    reason = first["msg"].removeprefix("Value error, ").rstrip(".")
    return f"Correct the setting {name}{file} (or its variable {variable}): {reason}."
