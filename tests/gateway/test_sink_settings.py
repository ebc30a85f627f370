"""`audit: {sinks, require}`: what is read, and what is refused with its place before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.sinks.settings import DirectoryPlace, ObjectPlace, SinksSettings, StreamPlace, SyslogPlace
from gateway.sink_settings import KEYS, read_sinks
from policies.errors import FileErrors, Problems
from policies.fields import Section
from policies.yaml_strict import parse


def read(path: Path, text: str) -> SinksSettings:
    """What the section `audit` with this text comes to; FileErrors with every problem."""
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (path / name).write_text("pem")
    (path / "keys").write_text("ACCESS\nSECRET\n")
    problems = Problems()
    node = parse(text.encode(), "gatehouse.yaml", problems)
    settings = read_sinks(Section.open(node, "`audit`", problems, KEYS), path, path / "var")
    problems.raise_if_any()
    return settings


S3 = "name: worm, kind: s3, endpoint: 'https://s3.example:9000', bucket: audit, credentials_file: keys"


def test_no_section_is_no_sinks_and_a_quorum_of_the_local_directory(tmp_path: Path) -> None:
    assert read_sinks(None, tmp_path, tmp_path) == SinksSettings()


def test_every_kind_is_read(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        "require: 2\n"
        "sinks:\n"
        "  - {name: vault, kind: directory, path: /mnt/other, required: true, deadline: 500ms}\n"
        "  - {name: siem, kind: syslog, host: siem.example, ca_file: ca.pem, certificate_file: cert.pem,"
        " key_file: key.pem, sd_id: acme@4711, longest: 8KiB}\n"
        "  - {" + S3 + ", prefix: a/b, region: eu-1, retention: {mode: COMPLIANCE, days: 2190}, window: 1s}\n",
    )
    vault, siem, worm = settings.sinks
    assert (settings.require, settings.state) == (2, tmp_path / "var" / "sinks")
    assert (vault.place, vault.required, vault.deadline_s) == (DirectoryPlace(Path("/mnt/other")), True, 0.5)
    assert siem.place == SyslogPlace(
        "siem.example",
        6514,
        tmp_path / "ca.pem",
        tmp_path / "cert.pem",
        tmp_path / "key.pem",
        sd_id="acme@4711",
        longest=8192,
    )
    assert worm.place == ObjectPlace(
        "https://s3.example:9000", "audit", "ACCESS", "SECRET", "a/b", "eu-1", None, "COMPLIANCE", 2190, 1.0
    )
    assert "SECRET" not in repr(settings)


DIRECTORY = "name: a, kind: directory, path: /mnt/a"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("require: 2\nsinks: []\n", "gatehouse.yaml:1:1: `require` is 2, but only 1 place can hold records"),
        ("require: 0\n", "`require` is `0`, expected a whole number 1 to 64"),
        ("sinks: many\n", "`sinks` is `many`, expected a list"),
        ("sinks: [{" + DIRECTORY + "}, {" + DIRECTORY + "}]\n", "two sinks have the name `a`"),
        ("sinks: [{name: a, kind: ftp}]\n", "`kind` is `ftp`, expected one of `directory`, `syslog`, `s3`"),
        ("sinks: [{name: a, kind: kafka}]\n", "`kafka` is not available in this version"),
        ("sinks: [{name: a, kind: directory}]\n", "a sink has no `path`"),
        ("sinks: [{name: A B, kind: directory, path: /mnt/a}]\n", "`name` is `A B`"),
        ("sinks: [{" + DIRECTORY + ", bucket: b12}]\n", "a sink of kind `directory` has no `bucket`"),
        ("sinks: [{name: a, kind: directory, path: var/copy}]\n", "inside each other"),
        ("sinks: [{name: a, kind: directory, path: .}]\n", "inside each other"),
        ("sinks: [{name: a, kind: syslog, host: h}]\n", "has no `ca_file`"),
        ("sinks: [{name: a, kind: syslog, host: h, ca_file: gone.pem}]\n", "`ca_file` cannot be read"),
        ("sinks: [{name: a, kind: syslog, host: h, ca_file: ca.pem, key_file: key.pem}]\n", "or neither"),
        ("sinks: [{name: a, kind: syslog, host: h, ca_file: ca.pem, required: true}]\n", "cannot be required"),
        ("require: 2\nsinks: [{name: a, kind: syslog, host: h, ca_file: ca.pem}]\n", "only 1 place can hold"),
        ("sinks: [{" + S3.replace("https", "http") + "}]\n", "in the clear"),
        ("sinks: [{" + S3.replace("9000", "9000/x") + "}]\n", "`endpoint` has a path"),
        ("sinks: [{" + S3.replace("file: keys", "file: ca.pem") + "}]\n", "`credentials_file` holds no credentials"),
        ("sinks: [{" + S3 + ", retention: {mode: FOREVER, days: 3}}]\n", "`mode` is `FOREVER`"),
        ("sinks: [{" + S3 + ", retention: {mode: COMPLIANCE}}]\n", "`retention` has no `days`"),
        ("sinks: [{" + S3 + ", window: 2s}]\n", "`window` is not shorter than `deadline`"),
    ],
)
def test_what_could_not_work_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(FileErrors) as caught:
        read(tmp_path, text)
    assert told in str(caught.value)


def test_credentials_never_stand_in_a_message(tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("ACCESS\nSECRET\nTHIRD\n")
    with pytest.raises(FileErrors) as caught:
        read(tmp_path, "sinks: [{" + S3.replace("file: keys", "file: wrong") + "}]\n")
    assert "SECRET" not in str(caught.value)


SERVERS = "['tls://one.example:4222', 'tls://two.example']"
NATS = f"name: line, kind: nats, servers: {SERVERS}, stream: AUDIT, subject: audit.gate"


def test_stream_is_read(tmp_path: Path) -> None:
    more = ", credentials_file: keys, ca_file: ca.pem, certificate_file: cert.pem, key_file: key.pem, server_name: nats"
    settings = read(tmp_path, "require: 2\nsinks: [{" + NATS + more + ", required: true}]\n")
    place = settings.sinks[0].place
    assert isinstance(place, StreamPlace)
    assert (place.servers, place.is_tls) == (("tls://one.example:4222", "tls://two.example"), True)
    assert (place.stream, place.subject, place.server_name) == ("AUDIT", "audit.gate", "nats")
    assert (place.login.user, place.login.password) == ("ACCESS", "SECRET")
    assert (place.ca, place.certificate) == (tmp_path / "ca.pem", tmp_path / "cert.pem")
    assert "SECRET" not in repr(settings)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("tls://one.example:4222", "nats://one.example:4222", "in the clear"),
        ("tls://one.example:4222", "nats://127.0.0.1:4222", "some of `servers` are `tls://`"),
        ("tls://one.example:4222", "http://one.example", "is no server"),
        ("tls://one.example:4222", "tls://user:word@one.example", "is no server"),
        (SERVERS, "[]", "`servers` is empty"),
        ("stream: AUDIT", "stream: 'A.B'", "`stream` is `A.B`"),
        ("subject: audit.gate", "subject: audit.>", "`subject` is `audit.>`"),
        (", subject: audit.gate", "", "a sink has no `subject`"),
        (", subject", ", key_file: key.pem, subject", "or neither"),
        (", subject", ", credentials_file: ca.pem, subject", "holds neither credentials"),
        (", subject", ", credentials_file: gone, subject", "cannot be read"),
        (", subject", ", bucket: b12, subject", "a sink of kind `nats` has no `bucket`"),
    ],
)
def test_stream_that_could_not_work_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(FileErrors) as caught:
        read(tmp_path, "sinks: [{" + NATS.replace(old, new) + "}]\n")
    assert told in str(caught.value)


def test_loopback_store_may_be_without_tls(tmp_path: Path) -> None:
    settings = read(tmp_path, "sinks: [{" + S3.replace("https://s3.example", "http://127.0.0.1") + "}]\n")
    assert isinstance(settings.sinks[0].place, ObjectPlace)
