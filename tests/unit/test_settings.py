"""Settings: every fault at once, and no secret ever shown."""

import pytest
from redis import Redis

from app.development.stack.broker import ROOT
from app.process.settings import (
    KEYS,
    PREFIX,
    REDIS_URLS,
    SECRETS,
    TYPES,
    Settings,
    SettingsError,
    variable_of,
)
from app.view.pages.status import PLAYBOOKS

SECRET = "0f" * 32


def read(*required: str, **environ: str) -> Settings:
    return Settings.from_environment(
        *required, environ={PREFIX + name.upper(): text for name, text in environ.items()}
    )


def faults(*required: str, **environ: str) -> list[str]:
    """The faults that are told, one a line after the heading."""
    with pytest.raises(SettingsError) as caught:
        read(*required, **environ)
    heading, *lines = str(caught.value).splitlines()
    assert heading == "The settings cannot be used:"
    return lines


def test_nothing_needs_to_be_set() -> None:
    assert read() == Settings()
    assert read().environment == "production", "what is unsafe is asked for"


def test_values_are_read_from_the_environment() -> None:
    settings = read(
        kafka="localhost:1,127.0.0.2:2",
        gateway_port="9000",
        person_key_version="7",
        session_key=SECRET.upper(),
    )
    assert (settings.kafka, settings.gateway_port) == ("localhost:1,127.0.0.2:2", 9000)
    assert (settings.person_key_version, settings.session_key) == (7, bytes.fromhex(SECRET))


def test_an_address_follows_host_and_port_unless_it_is_set() -> None:
    settings = read(gateway_host="10.0.0.1", gateway_port="9000", view_url="https://code.example")
    assert settings.gateway_url == "http://10.0.0.1:9000"
    assert settings.view_url == "https://code.example"


@pytest.mark.parametrize(
    ("redis_url", "rows", "sessions"),
    [
        ("redis://localhost:1/0", "redis://localhost:1/1", "redis://localhost:1/2"),
        ("redis://localhost:1", "redis://localhost:1/1", "redis://localhost:1/2"),
        ("rediss://u:p@a:1/3?x=y", "rediss://u:p@a:1/4?x=y", "rediss://u:p@a:1/5?x=y"),
        (
            "rediss://a:1?ca=/f.pem&db=3",
            "rediss://a:1?ca=/f.pem&db=4",
            "rediss://a:1?ca=/f.pem&db=5",
        ),
        ("redis://[::1]/7?db=3", "redis://[::1]/7?db=4", "redis://[::1]/7?db=5"),
        ("unix:///r/redis.sock", "unix:///r/redis.sock?db=1", "unix:///r/redis.sock?db=2"),
        ("unix://u@/r/1?db=8", "unix://u@/r/1?db=9", "unix://u@/r/1?db=10"),
    ],
)
def test_the_other_databases_come_after_the_first(redis_url: str, rows: str, sessions: str) -> None:
    settings = read(redis_url=redis_url)
    databases = [
        Redis.from_url(url).connection_pool.connection_kwargs.get("db", 0)
        for url in (settings.redis_url, settings.rows_redis_url, settings.sessions_redis_url)
    ]
    first = databases[0]
    assert databases == [first, first + 1, first + 2], "as the client reads them"
    assert (settings.rows_redis_url, settings.sessions_redis_url) == (rows, sessions)
    apart = read(redis_url=redis_url, rows_redis_url="redis://127.0.0.1:2/7")
    assert apart.rows_redis_url == "redis://127.0.0.1:2/7"
    assert apart.sessions_redis_url == "redis://127.0.0.1:2/8", "never on the server of the codes"


def test_a_trusted_proxy_is_an_address_or_a_network() -> None:
    assert read(trusted_proxies="10.0.0.5,fd00::/8").trusted_proxies == "10.0.0.5,fd00::/8"
    for wrong in ("proxy.example", "10.0.0.300", "10.0.0.5/8", "10.0.0.5, 10.0.0.6"):
        [fault] = faults(trusted_proxies=wrong)
        assert "must be addresses or networks" in fault


def test_a_prefix_of_topics_is_of_what_kafka_takes() -> None:
    assert read(topic_prefix="staging-").topic_prefix == "staging-"
    for wrong in ("-staging", "st aging", "staging/", "s" * 65, "粤"):
        [fault] = faults(topic_prefix=wrong)
        assert "YUEKANG_TOPIC_PREFIX" in fault


def test_every_setting_stands_in_the_operators_book() -> None:
    book = (ROOT / "docs" / "operations.md").read_text() + PLAYBOOKS
    shortened = {"oidc_type_claim", "oidc_name_claim", "oidc_birthday_claim", "oidc_city_claim"}
    assert [n for n in TYPES if n not in shortened and f"`{variable_of(n)}`" not in book] == []


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert read(kafka="", session_key="") == Settings()


def test_every_fault_is_told_at_once() -> None:
    told = faults(
        "person_key_secret",
        kafka="nowhere",
        gateway_port="70000",
        view_port="http",
        redis_url="localhost",
        gateway_url="ftp://x",
        environment="test",
        log_level="loud",
        person_key_version="0",
        session_key="xyz",
        no_such="1",
    )
    assert len(told) == 11
    for name in ("kafka", "gateway_port", "view_port", "redis_url", "gateway_url", "environment"):
        assert any(line.startswith(PREFIX + name.upper()) for line in told), name


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("gateway_port", "70000", "a port, 1 to 65535"),
        ("gateway_port", "0", "a port, 1 to 65535"),
        ("kafka", "nowhere", "host:port"),
        ("kafka", "a:1, b:2", "host:port"),
        ("view_url", "example", "http"),
        ("view_url", "http://code.example", "an https address, or one of this machine"),
        ("gateway_url", "http://gateway.example:8081", "an https address, or one of this machine"),
        ("kafka_security", "TLS", "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ("kafka_ca", "/etc/ca.pem", "certificates in PEM"),
        ("environment", "test", "production, development"),
        ("log_level", "loud", "debug, info, warning, error"),
        ("person_key_version", "10000", "1 to 9999"),
    ],
)
def test_a_fault_says_what_was_set_and_what_would_be_right(name: str, text: str, says: str) -> None:
    [line] = faults(**{name: text})
    assert line.startswith(f"{PREFIX}{name.upper()} is {text!r}, but must be ")
    assert says in line


def test_a_secret_that_a_process_needs_is_asked_for() -> None:
    [line] = faults("session_key")
    assert line == "YUEKANG_SESSION_KEY is not set; at least 32 bytes in hexadecimal."
    assert read("session_key", session_key=SECRET).session_key == bytes.fromhex(SECRET)


@pytest.mark.parametrize("secret", ["correct horse", "0f" * 31, "0f" * 31 + "0", "0x" + SECRET])
@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_wrong_secret_is_refused_and_never_repeated(name: str, secret: str) -> None:
    [line] = faults(**{name: secret})
    assert line.startswith(f"{PREFIX}{name.upper()} must be at least 32 bytes in hexadecimal")
    assert secret not in line


def test_a_secret_that_another_made_is_taken_as_they_gave_it() -> None:
    theirs = "s3cret+/=& of theirs"
    assert read(oidc_client_secret=theirs).oidc_client_secret == theirs
    assert theirs not in repr(read(oidc_client_secret=theirs))
    tokens = {"portal_token", "identity_provider_token"}
    assert {"oidc_client_secret", *tokens} <= SECRETS - KEYS


@pytest.mark.parametrize("secret", ["from a file\n", "\tsecret words", "密码", "x" * 513])
def test_such_a_secret_that_cannot_be_one_is_refused_and_never_repeated(secret: str) -> None:
    [line] = faults(oidc_client_secret=secret)
    assert line.startswith("YUEKANG_OIDC_CLIENT_SECRET must be 1 to 512 characters of ASCII")
    assert secret.strip() not in line


@pytest.mark.parametrize(
    "issuer",
    [
        "https://id.example",
        "https://id.example:8443/realms/gd",
        "http://127.0.0.1:8082",
        "http://localhost/x",
        "http://[::1]:1",
    ],
)
def test_a_provider_is_on_https_or_on_this_machine(issuer: str) -> None:
    assert read(oidc_issuer=issuer).oidc_issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "http://id.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://10.0.0.1",
        "https://",
        "https://id.example/?a=b",
        "https://id.example#x",
        "id.example",
    ],
)
def test_a_provider_elsewhere_without_tls_is_refused(issuer: str) -> None:
    [line] = faults(oidc_issuer=issuer)
    assert "an https address, or one of this machine" in line


def test_in_development_alone_the_provider_is_this_machines_own() -> None:
    assert read().oidc_issuer == ""
    development = read(environment="development", identity_provider_port="9000")
    assert development.oidc_issuer == "http://127.0.0.1:9000"
    other = read(environment="development", oidc_issuer="https://id.example")
    assert other.oidc_issuer == "https://id.example"


@pytest.mark.parametrize("name", ["", "GD", "g d", "/gd", "-gd", "x" * 33, "gd\n"])
def test_a_provider_has_a_name_that_a_source_can_have(name: str) -> None:
    if name:
        assert "lower-case letters" in faults(oidc_name=name)[0]


def test_no_secret_is_shown() -> None:
    urls = dict.fromkeys(REDIS_URLS, f"redis://user:{SECRET}@127.0.0.1")
    others = SECRETS - urls.keys() - {"kafka_key", "kafka_password"}
    known = {"kafka_security": "SASL_SSL", "kafka_user": "view", "kafka_password": SECRET}
    shown = read(**dict.fromkeys(others, SECRET), **urls, **known)
    for text in (repr(shown), str(shown), f"{shown}", repr(shown.brokers)):
        assert SECRET not in text
        assert repr(bytes.fromhex(SECRET)) not in text
    assert "gateway_port=8081" in repr(shown)


def test_a_misspelt_variable_is_told_with_those_that_are_known() -> None:
    [line] = faults(redis="redis://x")
    assert line.startswith("YUEKANG_REDIS is no setting; known are ")
    assert all(PREFIX + name.upper() in line for name in TYPES)


def test_other_variables_are_no_matter_of_ours() -> None:
    assert Settings.from_environment(environ={"PATH": "/bin", "KAFKA": "x"}) == Settings()
