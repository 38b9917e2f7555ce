"""As whom a process goes to Kafka and Redis, and that nothing of it goes in the clear."""

import ast
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faust import SASLCredentials, SSLCredentials

from app.development.stack.broker import ROOT
from app.engine.app import credentials_of
from app.process.settings import PREFIX, TYPES, Settings, SettingsError, text_of, variable_of
from support.certificates import Authority

SECRET = "s3cret+/=& of theirs"
BY_PASSWORD = {"kafka_security": "SASL_SSL", "kafka_user": "worker", "kafka_password": SECRET}


def read(**environ: str) -> Settings:
    return Settings.from_environment(
        environ={PREFIX + name.upper(): text for name, text in environ.items()}
    )


def fault(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(**environ)
    _, line = str(caught.value).splitlines()
    return line


AUTHORITY = Authority()
OURS, THEIRS = AUTHORITY.pair("worker"), AUTHORITY.pair("another")
BY_CERTIFICATE = {
    "kafka_security": "SSL",
    "kafka_ca": AUTHORITY.certificate,
    "kafka_certificate": OURS.certificate,
    "kafka_key": OURS.key,
}


def test_unless_told_otherwise_kafka_is_asked_in_the_clear_and_as_nobody() -> None:
    assert read().brokers.client == {
        "bootstrap_servers": "127.0.0.1:29092",
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }
    assert credentials_of(read().brokers) is None


def test_a_client_is_known_by_a_password() -> None:
    client = read(**BY_PASSWORD, kafka_mechanism="SCRAM-SHA-256").brokers.client
    assert isinstance(client.pop("ssl_context"), ssl.SSLContext)
    assert client == {
        "bootstrap_servers": "127.0.0.1:29092",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "worker",
        "sasl_plain_password": SECRET,
    }


def test_fausts_consumer_is_known_by_the_same() -> None:
    brokers = read(**BY_PASSWORD).brokers
    known = credentials_of(brokers)
    assert isinstance(known, SASLCredentials)
    assert (known.username, known.password) == ("worker", SECRET)
    assert (known.mechanism.value, known.protocol.value) == ("SCRAM-SHA-512", "SASL_SSL")
    assert known.ssl_context is brokers.tls
    clear = credentials_of(read(**BY_PASSWORD | {"kafka_security": "SASL_PLAINTEXT"}).brokers)
    assert clear is not None
    assert clear.protocol.value == "SASL_PLAINTEXT"
    certified = credentials_of(read(**BY_CERTIFICATE).brokers)
    assert isinstance(certified, SSLCredentials)
    assert certified.protocol.value == "SSL"


def test_a_client_is_known_by_a_certificate_and_asks_the_brokers_for_theirs() -> None:
    tls = read(**BY_CERTIFICATE).brokers.tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname
    [authority] = tls.get_ca_certs()
    assert (("commonName", "authority"),) in authority["subject"]


def test_authorities_are_read_once() -> None:
    assert read(**BY_CERTIFICATE).brokers.tls is read(**BY_CERTIFICATE).brokers.tls


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"kafka_security": "SASL_SSL"}, "set YUEKANG_KAFKA_USER and YUEKANG_KAFKA_PASS"),
        (
            {**BY_PASSWORD, "kafka_password": ""},
            "set YUEKANG_KAFKA_USER and YUEKANG_KAFKA_PASS",
        ),
        ({"kafka_user": "worker"}, "knows no user"),
        ({"kafka_password": SECRET}, "knows no user"),
        ({"kafka_security": "SSL", "kafka_key": OURS.key}, "set both, or none"),
        ({"kafka_ca": OURS.certificate}, "knows no certificate"),
        ({**BY_CERTIFICATE, "kafka_key": THEIRS.key}, "not of that certificate"),
        ({**BY_CERTIFICATE, "kafka_ca": THEIRS.key}, "cannot be read"),
        ({"redis_user": "view"}, "YUEKANG_REDIS_PASSWORD is not"),
    ],
)
def test_what_does_not_go_together_is_refused(environ: dict[str, str], says: str) -> None:
    line = fault(**environ)
    assert says in line
    assert SECRET not in line


ELSEWHERE = ("kafka.example:9092", "10.0.0.1:9092", "127.0.0.1:9092,10.0.0.1:9092", "127.evil:1")
HERE = ("127.0.0.1:9092", "localhost:1,127.0.0.3:2")


@pytest.mark.parametrize("servers", ELSEWHERE)
def test_in_production_kafka_elsewhere_is_asked_by_tls_alone(servers: str) -> None:
    for security in ({}, {**BY_PASSWORD, "kafka_security": "SASL_PLAINTEXT"}):
        assert "another machine" in fault(kafka=servers, **security)
        assert read(kafka=servers, environment="development", **security).kafka == servers
    for security in ({"kafka_security": "SSL"}, BY_PASSWORD):
        assert read(kafka=servers, **security).brokers.servers == servers


@pytest.mark.parametrize("servers", HERE)
def test_kafka_of_this_machine_needs_no_tls(servers: str) -> None:
    assert read(kafka=servers).kafka == servers


@pytest.mark.parametrize("name", ["redis_url", "rows_redis_url", "sessions_redis_url"])
def test_in_production_redis_elsewhere_is_asked_by_tls_alone(name: str) -> None:
    for url in ("redis://r:1/0", "redis://127.evil/0", "redis://u:p@10.0.0.1", "redis://u@h@r:1"):
        assert f"{variable_of(name)} is on another machine" in fault(**{name: url})
        read(**{name: url}, environment="development")
    for url in (
        "rediss://r:1/0?ssl_ca_certs=/etc/ca.pem",
        "redis://localhost",
        "redis://u:p@127.0.0.1:6379/0",
        "redis://[::1]:1/0",
        "unix:///run/redis.sock",
    ):
        assert getattr(read(**{name: url}), name) == url


@pytest.mark.parametrize("end", ["ssl_cert_reqs=none", "ssl_check_hostname=False"])
def test_in_production_a_redis_shows_whose_it_is(end: str) -> None:
    url = f"rediss://r:1/0?ssl_ca_certs=/etc/ca.pem&{end}"
    assert "YUEKANG_ROWS_REDIS_URL has certificates unchecked" in fault(
        redis_url="rediss://r:1/0?ssl_cert_reqs=required&ssl_check_hostname=true",
        rows_redis_url=url,
        sessions_redis_url="rediss://r:1/2",
    )
    read(redis_url=url, environment="development")


def test_a_process_goes_to_each_redis_as_one_user_unless_an_address_names_another() -> None:
    settings = read(
        redis_url="rediss://r:1/0?ssl_ca_certs=/ca.pem",
        rows_redis_url="rediss://rows:theirs@s:2",
        redis_user="view",
        redis_password="p@ss:w/rd",
    )
    assert settings.redis_url == "rediss://view:p%40ss%3Aw%2Frd@r:1/0?ssl_ca_certs=/ca.pem"
    assert settings.sessions_redis_url == "rediss://rows:theirs@s:2/1"
    assert settings.rows_redis_url == "rediss://rows:theirs@s:2"
    assert read(redis_password="x").redis_url == "redis://:x@127.0.0.1:26379/0"
    assert "p%40ss" not in repr(settings)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "secret"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("name", TYPES)
def test_any_setting_can_be_in_a_file(name: str, file: Callable[[str], str]) -> None:
    text = {"person_key_version": "7"}.get(name, "0f" * 32)
    variable = variable_of(name)
    for end in ("", "\n", "\r\n"):
        assert text_of(variable, {f"{variable}_FILE": file(text + end)}) == text
    assert text_of(variable, {}) == ""


def test_a_certificate_is_given_as_a_file(file: Callable[[str], str]) -> None:
    assert read(kafka_security="SSL", kafka_ca_file=file(OURS.certificate)).brokers.tls


def test_a_file_that_cannot_be_read_is_told_and_its_content_is_not(
    file: Callable[[str], str], tmp_path: Path
) -> None:
    assert "which cannot be read: No such file" in fault(session_key_file=str(tmp_path / "none"))
    assert "which cannot be read: Is a directory" in fault(session_key_file=str(tmp_path))
    assert "that file is empty" in fault(session_key_file=file("\n"))
    assert "longer than 65,536 bytes" in fault(session_key_file=file("x" * 70_000))
    assert "both set" in fault(session_key_file=file("0f" * 32), session_key="0f" * 32)
    wrong = fault(session_key_file=file("correct horse"))
    assert "at least 32 bytes" in wrong
    assert "correct horse" not in wrong


CLIENTS = {
    "AIOKafkaAdminClient",
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "Consumer",
    "Producer",
    "TransactionalProducer",
}
"""What the clients of Kafka are called here; each takes its settings on to aiokafka's."""


def made() -> Iterator[tuple[str, ast.Call]]:
    for room in ("app", "agents"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in CLIENTS:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_client_of_kafka_goes_as_the_settings_say() -> None:
    found = dict(made())
    assert len(found) > 15
    for where, call in found.items():
        spread = [ast.unparse(each.value) for each in call.keywords if each.arg is None]
        assert any(text.endswith("brokers.client") for text in spread), where
        assert "bootstrap_servers" not in {each.arg for each in call.keywords}, where
