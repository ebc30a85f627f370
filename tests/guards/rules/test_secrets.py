"""Credentials are found with exact spans; what only looks like one is left alone. All keys here are made up."""

from __future__ import annotations

import base64
import json

import pytest

from guards.errors import GuardSetupError
from guards.rules.secrets import SecretsGuard


def found(text: str, *find: str) -> list[tuple[str, str]]:
    guard = SecretsGuard(find) if find else SecretsGuard()
    return [(span.label, text[span.start : span.end]) for span in guard.spans(text)]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


JWT = ".".join([b64(b'{"alg":"HS256","typ":"JWT"}'), b64(b'{"sub":"1"}'), "c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"])
RANDOM = "aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW2xY4zA6bC8dE0fG2hI4jK6lM8nO0pQ2rS4tU6vW8xY0zA2bC4dE6fG8h"
BODY = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"] * 3)
HEX = "9f8e7d6c5b4a39281706" * 4
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\nAbc=\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("label", "secret"),
    [
        ("private_key", PEM),
        ("private_key", PEM.replace("RSA ", "")),
        ("private_key", PEM.replace("RSA", "OPENSSH")),
        ("private_key", PEM.replace("\n", "\\n")),
        ("private_key", PEM.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A\n\n", 1)),
        ("jwt", JWT),
        ("jwt", b64(b'{"alg": "none"}') + ".e30."),
        ("aws_key", "AKIAQ3EGRP7XNMJ2LVWD"),
        ("gcp_key", f"AIza{RANDOM[:35]}"),
        ("azure_key", f"AccountKey={RANDOM[:86]}=="),
        ("github_token", f"ghp_{RANDOM[:36]}"),
        ("github_token", f"github_pat_{RANDOM[:22]}_{RANDOM[:59]}"),
        ("gitlab_token", f"glpat-{RANDOM[:20]}"),
        ("slack_token", "xoxb-123456789012-1234567890123-AbCdEfGhIjKl"),
        ("stripe_key", f"sk_live_{RANDOM[:24]}"),
        ("anthropic_key", f"sk-ant-api03-{RANDOM[:80]}"),
        ("openai_key", f"sk-proj-{RANDOM[:60]}"),
        ("openai_key", f"sk-{RANDOM[:48]}"),
        ("huggingface_token", f"hf_{RANDOM[:34]}"),
        ("package_token", f"npm_{RANDOM[:36]}"),
        ("sendgrid_key", f"SG.{RANDOM[:22]}.{RANDOM[:43]}"),
        ("private_key", f"Private-Lines: 8\n{BODY}"),
        ("private_key", f"AGE-SECRET-KEY-1{RANDOM[:58].upper()}"),
        ("aws_key", "AKIAQGEGRPXXNMJZLVWD"),
        ("aws_key", f"ABSK{(RANDOM * 2)[:109]}="),
        ("gcp_key", f"AQ.{RANDOM[:50]}"),
        ("azure_key", f"SharedAccessKey={RANDOM[:43]}="),
        ("azure_key", f"{RANDOM[:76]}AZDO{RANDOM[:4]}"),
        ("gitlab_token", f"glpat-{RANDOM[:27]}.01.{RANDOM[:9].lower()}"),
        ("anthropic_key", f"sk-ant-admin01-{RANDOM[:95]}"),
        ("openai_key", f"sk-svcacct-{RANDOM[:70]}T3BlbkFJ{RANDOM[:70]}"),
        ("huggingface_token", f"api_org_{RANDOM[:34]}"),
        ("package_token", f"pypi-AgENdGVzdC5weXBpLm9yZw{RANDOM[:90]}"),
        ("package_token", f"dckr_pat_{RANDOM[:27]}"),
        ("package_token", f"rubygems_{HEX[:48]}"),
        ("service_token", f"gsk_{RANDOM[:52]}"),
        ("service_token", f"sk-or-v1-{HEX[:64]}"),
        ("service_token", f"1234567890:AA{RANDOM[:33]}"),
        ("service_token", f"dop_v1_{HEX[:64]}"),
        ("service_token", f"hvs.{RANDOM[:90]}"),
        ("service_token", f"glsa_{RANDOM[:32]}_{HEX[:8]}"),
        ("service_token", f"shpat_{HEX[:32]}"),
    ],
)
def test_credentials_with_a_shape_are_found_whole_and_named(label: str, secret: str) -> None:
    assert found(f"😀 use {secret} for it", label) == [(label, secret)]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('password = "correct-horse"', "correct-horse"),
        ("password='swordfish'", "swordfish"),
        ("PASSWORD: hunter22", "hunter22"),
        ("export DB_PASSWORD=s3cr3tPa55 && run", "s3cr3tPa55"),
        ('{"password": "Tr0ub4dor&3"}', "Tr0ub4dor&3"),
        ('"{\\"password\\": \\"Tr0ub4dor&3\\"}"', "Tr0ub4dor&3"),
        ('config["api_key"] = "9f8e7d6c5b4a39281706"', "9f8e7d6c5b4a39281706"),
        ('client_secret: "q1W2e3R4t5Y6u7I8"', "q1W2e3R4t5Y6u7I8"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYq1Qk2m3n4o",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYq1Qk2m3n4o",
        ),
        ("passwd := `l0ngEnough`", "l0ngEnough"),
        ("pw: Winter2026!", "Winter2026!"),
        ("mysql -u root -pkV9#mLq2 shop", "kV9#mLq2"),
        ("my password is hunter2", "hunter2"),
        ("Das Passwort lautet Ux92kLmQ", "Ux92kLmQ"),
        ('passphrase = "correct horse battery staple"', "correct horse battery staple"),
        ("login admin / Qx7!vB2nLp", "Qx7!vB2nLp"),
        ('<add key="DbPassword" value="s3cr3t-9Kd!"/>', "s3cr3t-9Kd!"),
        ("WLAN-Passwort: Ux92kLmQ", "Ux92kLmQ"),
        ("contraseña: TnR7-pQw2-LmX9", "TnR7-pQw2-LmX9"),
        ("signing_key: 9f8e7d6c5b4a39281706Xy", "9f8e7d6c5b4a39281706Xy"),
        ("CREATE USER app IDENTIFIED BY 'Zk8$wQ1z';", "Zk8$wQ1z"),
    ],
)
def test_the_value_next_to_its_name_is_found_without_the_name(text: str, secret: str) -> None:
    assert found(text) == [("password_assignment", secret)]


def test_bearer_and_basic_credentials_are_found() -> None:
    basic = base64.b64encode(b"aladdin:opensesame").decode()

    assert found(f"curl -H 'Authorization: Bearer {RANDOM[:32]}'") == [("bearer", RANDOM[:32])]
    assert found(f"Authorization: Basic {basic}") == [("bearer", basic)]


def test_a_password_in_a_url_is_found() -> None:
    assert found("postgres://app:pa55w0rd@db.internal:5432/x") == [("url_password", "pa55w0rd")]


@pytest.mark.parametrize(
    "text",
    [
        "id 123e4567-e89b-12d3-a456-426614174000",
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "commit 4eac1b5d0c0ffee4eac1b5d0c0ffee4eac1b5d0c",
        '<img src="data:image/png;base64,' + "iVBORw0KGgoAAAANSUhEUgAAAAUA" * 40 + '">',
        'password = "<your password>"',
        'password = "your-password-here"',
        'password = "********"',
        'password = "xxxxxxxxxxxx"',
        'password = "changeme"',
        'password = "${DB_PASSWORD}"',
        'password = os.environ["DB_PASSWORD"]',
        "password = getpass.getpass()",
        "auth_token = base64.b64encode(value)",
        "mask_token=entity_mask2_token",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...",
        "password=password, token=token",
        "def login(user: str, password: str = None) -> Token:",
        "password: please choose a long one",
        "password: string, token: required",
        '{"type": "object", "properties": {"password": {"type": "string"}, "token": "string"}}',
        'for token in tokens: token = "hello"',
        '{"max_tokens": 100000, "token": "ignore"}',
        "api_key = YOUR_API_KEY",
        'api_key="sk-..."',
        "Authorization: Bearer <token>",
        "Authorization: Bearer YOUR_ACCESS_TOKEN_GOES_HERE",
        "the bearer authentication scheme-of-the-protocol",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-test and task-oriented-dialogue-systems-with-long-names",
        "sk-proj-your-key-goes-here-please-thanks",
        "-----BEGIN PRIVATE KEY----- is the first line of such a file",
        "-----BEGIN PUBLIC KEY-----\n" + BODY + "\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\n" + BODY + "\n-----END CERTIFICATE-----",
        "eyJust.some.words and eyJhYmNkZWZnaGlqa2w.abc.def",
        "https://example.com/path?x=1 and mailto:a@b.example and http://localhost:8080/@user",
        "postgres://user:<password>@host/db",
        "secret: the cake",
        "secret santa: everybody",
        "The password is important. Secret: nobody knows",
    ],
)
def test_what_only_looks_like_a_credential_passes(text: str) -> None:
    assert found(text) == []


def test_a_header_that_is_no_jose_header_is_no_jwt() -> None:
    assert found(b64(json.dumps({"al": "HS256"}).encode()) + ".e30.sig") == []
    assert found(b64(b'{"alg": 1') + "xx.e30.sig") == []
    assert found(f"eyJ{'A' * 5000}.e30.sig") == []


def test_find_selects_labels_and_groups() -> None:
    text = f'AKIAQ3EGRP7XNMJ2LVWD ghp_{RANDOM[:36]} password="hunter22"'

    assert [label for label, _ in found(text, "cloud_key")] == ["aws_key"]
    assert [label for label, _ in found(text, "api_key", "password_assignment")] == [
        "github_token",
        "password_assignment",
    ]


@pytest.mark.parametrize("find", [("ssn",), ()])
def test_a_selection_that_cannot_work_is_refused(find: tuple[str, ...]) -> None:
    with pytest.raises(GuardSetupError) as caught:
        SecretsGuard(find)
    assert caught.value.option == "find"
