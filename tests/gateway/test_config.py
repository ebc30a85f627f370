"""A configuration is whole and checked, or every problem in it comes at once with its place; secrets are not quoted."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cli import quickstart
from gateway.config import DEMO_KEY, Address, Config, load_config
from gateway.guard_settings import facts
from gateway.guard_sources import needed
from policies.errors import FileErrors
from policies.load import load_policy

DIGEST = "ab" * 32
GOOD = f"""\
gatehouse: config/v1
listen: {{api: 0.0.0.0:8080, admin: 127.0.0.1:8081}}
keys:
  - {{id: one, tenant: clinic, app: chat, sha256: {DIGEST}}}
policy: policy.yaml
engine: {{url: "http://vllm:8000/v1", models: {{scout: meta/Scout}}, connect_timeout: 500ms, first_byte_timeout: 10s}}
state: var
origin: clinic/gate-1
model_host: {{threads: 4}}
drain: 3s
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text("gatehouse: policy/v1")
    path = tmp_path / "gatehouse.yaml"
    path.write_text(GOOD)
    return path


def loaded(file: Path, *changes: tuple[str, str]) -> Config:
    text = GOOD
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    file.write_text(text)
    return load_config(file)


def problems(file: Path, *changes: tuple[str, str]) -> list[str]:
    """Each problem as the operator reads it, without the directory."""
    with pytest.raises(FileErrors) as error:
        loaded(file, *changes)
    return [str(problem).replace(f"{file.parent}/", "") for problem in error.value.problems]


def test_everything_in_a_good_file_arrives(file: Path) -> None:
    config = loaded(file)
    assert (str(config.api), str(config.admin)) == ("0.0.0.0:8080", "127.0.0.1:8081")
    [key] = config.keys
    assert (key.sha256, key.caller.key_id, key.caller.tenant, key.caller.app) == (DIGEST, "one", "clinic", "chat")
    assert config.policy.path == (file.parent / "policy.yaml").resolve()
    assert config.engines[0].base_url == "http://vllm:8000/v1"
    assert config.engines[0].models == (("scout", "meta/Scout"),)
    assert (config.engines[0].connect_s, config.engines[0].first_byte_s, config.drain_s) == (0.5, 10, 3)
    assert (config.origin, config.host_threads) == ("clinic/gate-1", 4)
    assert config.audit_dir.parent == config.key_dir.parent == config.state
    assert config.state == Path("var").absolute()


def test_the_audit_log_changes_its_key_daily_and_warns_at_a_quarter_of_the_disk(file: Path) -> None:
    assert (loaded(file).epoch_s, loaded(file).low_space, loaded(file).compress_s) == (86_400, 0.25, None)
    assert loaded(file, ("drain: 3s", "audit: {compress: 168h}")).compress_s == 7 * 86_400
    other = loaded(file, ("drain: 3s", "audit: {epoch: 12h, low_space: 10%}"))
    assert (other.epoch_s, other.low_space) == (43_200, 0.1)
    for wrong, told in (("epoch: 2s", "60000ms"), ("low_space: 0.5", "`1%` to `99%`"), ("low_space: 100%", "`99%`")):
        assert told in problems(file, ("drain: 3s", f"audit: {{{wrong}}}"))[0]


def test_a_head_store_lies_outside_the_state_that_holds_the_log(file: Path) -> None:
    assert loaded(file).head_store is None
    elsewhere = loaded(file, ("drain: 3s", "audit: {head_store: ../other/heads.sqlite}"))
    assert elsewhere.head_store == file.parent / "../other/heads.sqlite"
    inside = f"audit: {{head_store: {Path.cwd() / 'var' / 'heads.sqlite'}}}"
    assert "inside `state`" in problems(file, ("drain: 3s", inside))[0]


def test_text_is_kept_and_operators_are_known_only_where_that_is_written(file: Path) -> None:
    assert (loaded(file).content, loaded(file).operators) == (None, ())
    people = f"operators: [{{name: vera, roles: [auditor], sha256: '{'cd' * 32}'}}]"
    config = loaded(file, ("drain: 3s", f"{people}\ncontent: {{master_key: content.key, classes: {{default: 30d}}}}"))
    assert config.content is not None
    assert config.content.master_key == file.parent / "content.key"
    assert [entry.operator.name for entry in config.operators] == ["vera"]


def test_the_key_of_kept_text_lies_apart_from_it(file: Path) -> None:
    inside = ("drain: 3s", f"content: {{master_key: {file.parent}/var/keystore/key, classes: {{default: 30d}}}}")
    state = ("state: var", f"state: {file.parent}/var")
    assert any("inside `keystore`" in problem for problem in problems(file, inside, state))


def test_a_state_on_the_command_line_wins(file: Path, tmp_path: Path) -> None:
    assert load_config(file, tmp_path / "elsewhere").state == tmp_path / "elsewhere"


def test_every_problem_comes_at_once_with_its_place(file: Path) -> None:
    found = problems(
        file, ("listen:", "listne:"), ("id: one", "id: two words"), ("policy.yaml", "missing.yaml"), ("4}", "0}"),
        ("drain: 3s", "drain: soon"), ("http://vllm", "ftp://vllm"), ("clinic/gate-1", "/gate"),
    )  # fmt: skip
    assert [problem.split(": ")[0] for problem in found] == [
        "gatehouse.yaml:2:1", "gatehouse.yaml:4:10", "gatehouse.yaml:5:1", "gatehouse.yaml:6:15", "gatehouse.yaml:8:9",
        "gatehouse.yaml:9:23", "gatehouse.yaml:10:8",
    ]  # fmt: skip
    assert "unknown key `listne`" in found[0]
    assert "did you mean `listen`?" in found[0]


@pytest.mark.parametrize("line", GOOD.splitlines())
def test_a_missing_line_is_a_default_or_a_problem_at_a_place(file: Path, line: str) -> None:
    changed = (line + "\n", "")
    if line.split(":")[0] in ("listen", "state", "origin", "model_host", "drain"):
        assert loaded(file, changed)
        return
    for problem in problems(file, changed):
        assert problem.startswith("gatehouse.yaml:")


@pytest.mark.parametrize(
    "address", ["0.0.0.0:8080", "192.168.1.5:80", "gateway.example:443", "'[::]:8080'", "127.1:8080", "0:8080",
                "2130706433:80", "localhost.example:80"],
)  # fmt: skip
@pytest.mark.parametrize("key", [f"key: {DEMO_KEY}", f"sha256: {hashlib.sha256(DEMO_KEY.encode()).hexdigest()}"])
def test_the_demo_key_is_refused_on_any_address_that_is_not_loopback(file: Path, address: str, key: str) -> None:
    """Also in its hashed form, and whichever of the two listeners it is."""
    for listener in ("api", "admin"):
        listen = f"listen: {{{listener}: {address}}}"
        found = problems(
            file, ("listen: {api: 0.0.0.0:8080, admin: 127.0.0.1:8081}", listen), (f"sha256: {DIGEST}", key)
        )
        assert any("demo key" in problem and "not loopback" in problem for problem in found)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.8.9.1:80", "localhost:80", "'[::1]:80'"])
def test_the_demo_key_is_fine_on_loopback(file: Path, address: str) -> None:
    listen = ("listen: {api: 0.0.0.0:8080, admin: 127.0.0.1:8081}", f"listen: {{api: {address}, admin: {address}}}")
    config = loaded(file, listen, (f"sha256: {DIGEST}", f"key: {DEMO_KEY}"))
    assert config.keys[0].sha256 == hashlib.sha256(DEMO_KEY.encode()).hexdigest()


@pytest.mark.parametrize(
    "entry",
    ["key: my-real-key-in-clear-text", "key: short-secret", "sha256: my-real-key-in-clear-text", "sha256: ABCDEF",
     f"sha256: {DIGEST}, key: my-real-key-in-clear-text", "key: 'my real key in clear text'", "key: [my-real-key]"],
)  # fmt: skip
def test_keys_in_clear_are_refused_and_never_quoted(file: Path, entry: str) -> None:
    """The message goes to a terminal and a service log; the key in it would be as good as published."""
    for problem in problems(file, (f"sha256: {DIGEST}", entry)):
        assert "secret" not in problem
        assert "my" not in problem


def test_a_key_needs_one_form_and_its_own_id(file: Path) -> None:
    assert problems(file, (f", sha256: {DIGEST}", "")) == ["gatehouse.yaml:4:5: a key has either `key` or `sha256`"]
    twice = f"{{id: one, tenant: other, sha256: {DIGEST}}}"
    found = problems(file, ("keys:\n", f"keys:\n  - {twice}\n"))
    assert {problem.split(": ")[1] for problem in found} == {
        "two entries of `keys` have the same key", "two entries of `keys` have the same id",
    }  # fmt: skip
    for keys in ("keys: []\n", "keys: {}\n", "keys:\n", "keys: all\n"):
        assert problems(file, (f"keys:\n  - {{id: one, tenant: clinic, app: chat, sha256: {DIGEST}}}\n", keys))


@pytest.mark.parametrize(
    "url",
    ["http://user:pw@vllm/v1", "http://vllm/v1?key=1", "http://vllm/v1#x", "//vllm/v1", "vllm:8000", "http://",
     "http://:80", "http://[:::]/v1", "http://vllm:99999/v1", "http://[/v1", "http://a:b:c/v1", "file:///etc/passwd", "http://up\\@evil/v1",
     "http://vllm /v1"],
)  # fmt: skip
def test_a_url_that_two_parsers_could_read_differently_is_refused(file: Path, url: str) -> None:
    assert any("`url` is not a URL" in problem for problem in problems(file, ('"http://vllm:8000/v1"', f"'{url}'")))


@pytest.mark.parametrize(
    ("url", "base"),
    [("http://vllm:8000", "http://vllm:8000/v1"), ("https://vllm/", "https://vllm/v1"),
     ("http://[::1]:80/v1", "http://[::1]:80/v1"), ("http://vllm/openai", "http://vllm/openai/v1")],
)  # fmt: skip
def test_the_path_of_the_api_is_added_when_it_is_missing(file: Path, url: str, base: str) -> None:
    [engine] = loaded(file, ("http://vllm:8000/v1", url)).engines
    assert engine.base_url == base


def test_the_starter_engine_is_chosen_or_a_url_is_given(file: Path) -> None:
    line = GOOD.splitlines()[5]
    assert [one.name for one in loaded(file, (line, "engine: {starter: true}")).local_models] == ["gatehouse-starter"]
    for engine in ("{}", "{starter: false}", "{starter: true, url: 'http://a/v1'}", "starter", "[]"):
        assert problems(file, (line, f"engine: {engine}"))


def test_the_starter_engine_has_adapters_by_name(file: Path) -> None:
    line = GOOD.splitlines()[5]
    config = loaded(file, (line, "engine: {starter: true, adapters: {clinic: adapters/clinic, b.2: /b}}"))
    [starter] = config.local_models
    assert starter.adapters == (("clinic", file.parent.absolute() / "adapters/clinic"), ("b.2", Path("/b")))
    assert starter.models[1:] == ("gatehouse-starter:clinic", "gatehouse-starter:b.2")
    assert loaded(file).local_models == ()


@pytest.mark.parametrize(
    "engine",
    ["{starter: true, adapters: [x]}", "{starter: true, adapters: {a b: x}}", "{starter: true, adapters: {a: 5}}",
     "{starter: true, adapters: {'a:b': x}}", "{url: 'http://a/v1', adapters: {a: x}}"],
)  # fmt: skip
def test_adapters_that_cannot_be_are_problems(file: Path, engine: str) -> None:
    [problem] = problems(file, (GOOD.splitlines()[5], f"engine: {engine}"))
    assert "adapter" in problem or "`a`" in problem


@pytest.mark.parametrize("content", [None, b"", b"\n", b"two lines\nof it", b"\xff\xfe\x00", "schlüssel".encode()])
def test_a_key_file_that_holds_no_key_is_a_problem(file: Path, content: bytes | None) -> None:
    """A key that is silently empty, or breaks a header, would only show at the first request."""
    if content is not None:
        (file.parent / "upstream.key").write_bytes(content)
    [problem] = problems(file, ("models:", "api_key_file: upstream.key, models:"))
    assert "`api_key_file`" in problem
    assert "lines" not in problem.split("expected")[0]


def test_a_key_file_is_read_and_its_content_is_not_shown(file: Path) -> None:
    (file.parent / "upstream.key").write_text("sk-upstream-secret\n")
    config = loaded(file, ("models:", "api_key_file: upstream.key, models:"))
    assert config.engines[0].api_key == "sk-upstream-secret"
    assert "sk-upstream" not in repr(config)


@pytest.mark.parametrize("origin", ["a", "site/gate-1", "A.b_c-d/e"])
def test_origins_that_the_log_takes_are_taken(file: Path, origin: str) -> None:
    assert loaded(file, ("clinic/gate-1", origin)).origin == origin


@pytest.mark.parametrize("origin", ["/", "a//b", "/a", "a/", "../x", "a b", "é", "-a", "''", "a" * 201])
def test_origins_that_the_log_would_refuse_are_refused_here(file: Path, origin: str) -> None:
    assert problems(file, ("clinic/gate-1", origin))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "just text", "gatehouse: config/v2\n", "a: [", "\t", "a: &x 1\nb: *x", "!!python/object:os.system {}",
     "\x00"],
)  # fmt: skip
def test_files_that_are_no_configuration_have_a_place(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(FileErrors) as error:
        load_config(file)
    assert all(problem.place.line >= 1 for problem in error.value.problems)


def test_a_file_that_is_not_there_is_the_operators_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"gatehouse\.yaml"):
        load_config(tmp_path / "gatehouse.yaml")


def test_the_shipped_configurations_load(tmp_path: Path) -> None:
    config = load_config(quickstart(), tmp_path)
    assert config.api.is_loopback
    assert config.admin.is_loopback
    assert config.local_models
    assert config.policy.path.is_file()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.0.9", "::1", "[::1]"])
def test_loopback_is_what_only_this_machine_reaches(host: str) -> None:
    assert Address(host, 80).is_loopback


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.integers(0, len(GOOD)), st.text(alphabet="{}[]:,\"'\\\n -#&*!|>@`%\x00é0", max_size=4), st.integers(0, 4))
def test_a_damaged_file_is_a_configuration_or_problems_and_never_a_crash(
    file: Path, at: int, inserted: str, removed: int
) -> None:
    file.write_text(GOOD[:at] + inserted + GOOD[at + removed :])
    try:
        load_config(file)
    except FileErrors as error:
        assert error.problems  # noqa: PT017 - either outcome is right


def test_the_example_of_a_real_site_loads_with_the_policy_it_names(tmp_path: Path) -> None:
    """Every line of it is read; only what is at the paths is the site's own."""
    root = quickstart().parents[1]
    (tmp_path / "gatehouse.yaml").write_text((root / "deploy" / "gatehouse.example.yaml").read_text())
    (tmp_path / "policy.yaml").write_text((root / "policies" / "library" / "llama-guard.yaml").read_text())
    config = load_config(tmp_path / "gatehouse.yaml")
    policy = load_policy(config.policy.path, facts(config.guards))
    judging = {guard.use: guard.is_local for guard in needed(config.guards, policy)}
    assert judging == {"llama_guard_4": False, "prompt_guard_2_86m": True}


def test_problems_under_guards_come_with_all_others(file: Path) -> None:
    found = problems(file, ("drain: 3s", "drain: soon\nguards:\n  prompt_guard_2_86m: {pth: x}"))
    assert [problem.split(": ")[0] for problem in found] == [
        "gatehouse.yaml:10:8", "gatehouse.yaml:12:23", "gatehouse.yaml:12:24",
    ]  # fmt: skip


def test_policies_for_some_and_what_is_said_of_keys_and_servers(file: Path) -> None:
    config = loaded(
        file,
        ("origin:", "policies: [{policy: policy.yaml, tenant: bank}]\norigin:"),
        ("app: chat,", "app: chat, claims: {desk: branch}, may_claim: [purpose],"),
    )
    [binding] = config.bindings
    assert (binding.settings.path.name, binding.tenants) == ("policy.yaml", {"bank"})
    [key] = config.keys
    assert (key.caller.claims, key.caller.may_claim) == ({"desk": "branch"}, {"purpose"})
    assert config.engines[0].class_ == "external"
    local = loaded(file, ("http://vllm:8000/v1", "http://127.0.0.1:8000/v1")).engines[0]
    assert local is not None
    assert local.class_ == "local"
    named = loaded(file, ("connect_timeout", "class: partner, connect_timeout")).engines[0]
    assert named is not None
    assert named.class_ == "partner"


def test_the_example_with_several_engines_loads(tmp_path: Path) -> None:
    root = quickstart().parents[1]
    (tmp_path / "gatehouse.yaml").write_text((root / "deploy" / "gatehouse.engines.yaml").read_text())
    (tmp_path / "policy.yaml").write_text("")
    config = load_config(tmp_path / "gatehouse.yaml")
    assert [(one.name, one.class_) for one in config.engines] == [
        ("house", "local"),
        ("rack", "local"),
        ("cloud", "external"),
    ]
