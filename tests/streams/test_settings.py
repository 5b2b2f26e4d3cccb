from pathlib import Path

import pytest

from streams.document import page
from streams.errors import SettingsError
from streams.settings import Settings, load_settings

SECRET = "S3CRET-xyz"


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "duoshou.toml"
    path.write_text(text)
    return path


def test_without_anything_said_the_defaults_hold() -> None:
    assert load_settings() == Settings()


def test_the_command_line_beats_the_variable_beats_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(tmp_path, 'partitions = 2\nzone = "Asia/Tokyo"\napplication = "from-file"\n')
    monkeypatch.setenv("DUOSHOU_PARTITIONS", "3")
    monkeypatch.setenv("DUOSHOU_ZONE", "Europe/Berlin")
    settings = load_settings(path, partitions=5, zone=None)
    assert (settings.partitions, settings.zone, settings.application) == (
        5,
        "Europe/Berlin",
        "from-file",
    )


def test_a_variable_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUOSHOU_CONFIG", str(config(tmp_path, "partitions = 7")))
    assert load_settings().partitions == 7


def test_the_password_may_come_alone_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(
        tmp_path, '[security]\nsasl_mechanism = "SCRAM-SHA-512"\nsasl_username = "duoshou"\n'
    )
    monkeypatch.setenv("DUOSHOU_SECURITY__SASL_PASSWORD", SECRET)
    settings = load_settings(path)
    assert settings.security.sasl_password is not None
    assert settings.security.sasl_password.get_secret_value() == SECRET
    assert SECRET not in f"{settings!r} {settings} {settings.security!r}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("partitions = 0", "setting partitions in .*: Input should be greater than or equal to 1"),
        ('zone = "Mars/Olympus"', "'Mars/Olympus' is not an IANA zone"),
        ('bootstrap_servers = "kafka"', "'kafka' is not host:port"),
        ('bootstrap_servers = "kafka:0"', "'kafka:0' is not host:port"),
        ("partition = 4", "there is none of that name; did you mean partitions"),
        ("colour = 4", "there is none of that name, see docs/settings.md"),
        ("late_horizon_s = 90000", "late_horizon_s"),
        ("partitions = ", "not TOML"),
        ('[security]\nca_file = "/nowhere/ca.pem"', "there is no file /nowhere/ca.pem"),
        ('[security]\nsasl_username = "u"', "belong together: give all three or none"),
        ('[security]\npassword = "S3CRET-xyz"', "did you mean sasl_password"),
        ("[prices]\ncpu_hour = -1", "setting prices.cpu_hour in .*: .*greater than or equal to 0"),
        ("[prices]\ncpu_hour = inf", "prices.cpu_hour"),
        ('[prices]\ncurrency = "{x}"', "prices.currency"),
        ("[prices]\ncpu_hours = 1", "did you mean cpu_hour"),
        ('[security]\nsasl_password = ["S3CRET-xyz"]', "sasl_password"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_says_where_and_never_shows_a_secret(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = config(tmp_path, text)
    with pytest.raises(SettingsError, match=sentence) as refused:
        load_settings(path)
    message = str(refused.value)
    assert str(path) in message
    assert SECRET not in message
    assert message.endswith(".")
    assert "\n" not in message


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    pem.touch()
    with pytest.raises(SettingsError, match="cert_file and key_file belong together"):
        load_settings(security={"cert_file": pem})


def test_a_group_in_one_variable_that_is_not_json_does_not_show_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DUOSHOU_SECURITY", SECRET)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SettingsError, match=r"no settings file /nowhere/duoshou\.toml"):
        load_settings(Path("/nowhere/duoshou.toml"))


def test_a_variable_that_an_orchestrator_sets_by_itself_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Kubernetes describes a service named duoshou to every container.
    monkeypatch.setenv("DUOSHOU_PORT", "tcp://10.0.0.1:9464")
    assert load_settings() == Settings()


def test_settings_pass_through_the_environment_of_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = load_settings(
        partitions=3,
        topic_prefix="lab.",
        lenders=("harbour", "platform"),
        ticks=False,
        prices={"currency": "元", "cpu_hour": 0.09},
        security={
            "sasl_mechanism": "PLAIN",
            "sasl_username": "duoshou",
            "sasl_password": SECRET,
        },
    )
    for name, value in told.as_environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == told


def test_the_platform_is_always_among_the_lenders() -> None:
    assert load_settings(lenders=("harbour",)).lenders == ("harbour", "platform")
    assert load_settings(lenders=("platform", "harbour")).lenders == ("platform", "harbour")


def test_a_price_may_come_alone_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUOSHOU_PRICES__CPU_HOUR", "0.09")
    prices = load_settings().prices
    assert (prices.cpu_hour, prices.storage_gb_month, prices.currency) == (0.09, 1.0, "yuan")


def test_the_prefix_names_topics_and_group() -> None:
    topics = load_settings(topic_prefix="lab.").topics
    assert topics.application_id == "lab.duoshou"
    assert all(topic.name.startswith("lab.") for topic in topics)


def test_the_committed_page_of_settings_is_up_to_date() -> None:
    committed = Path(__file__).parents[2] / "docs" / "settings.md"
    assert committed.read_text() == page(), "run `make documents` and commit docs/"
