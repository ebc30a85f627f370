"""The command line: exit codes that scripts rely on, every problem on stderr, no traceback, no secret."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import COMMANDS, main, make_parser, quickstart, run

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
gatehouse: config/v1
listen: {api: '127.0.0.1:1', admin: '127.0.0.1:1'}
keys: [{id: demo, tenant: demo, key: gatehouse-demo-key}]
policy: policy.yaml
engine: {url: 'http://127.0.0.1:9/v1'}
"""
POLICY = """\
gatehouse: policy/v1
name: small
version: 1.0.0
owner: tests@gatehouse.example
detectors: {creds: {use: secrets}}
rules:
  - {id: creds, on: [user], when: {creds: {count: {gte: 1}}}, do: {block: {code: secret}}}
  - {id: pass, on: [user, output], do: allow}
"""


def gatehouse(*arguments: str, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments], cwd=directory, capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "gatehouse.yaml").write_text(CONFIG)
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def refused(directory: Path) -> str:
    """What `serve` says when it does not start."""
    done = gatehouse("serve", "-c", "gatehouse.yaml", directory=directory)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_a_new_key_is_random_long_and_goes_with_its_digest(capsys: pytest.CaptureFixture[str]) -> None:
    keys = set()
    for _ in range(20):
        assert main(["key", "new"]) == 0
        found = re.fullmatch(r"key     (gh_[A-Za-z0-9_-]{43})\nsha256  ([0-9a-f]{64})\n", capsys.readouterr().out)
        assert found
        assert hashlib.sha256(found[1].encode()).hexdigest() == found[2]
        keys.add(found[1])
    assert len(keys) == 20


@pytest.mark.parametrize(
    "arguments", [["--help"], ["serve", "--help"], ["key", "--help"], ["key", "new", "--help"], ["--version"]]
)
def test_help_and_version_are_answers(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
    assert "gatehouse" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["serv"], ["serve", "--confg", "x"], ["key"], ["key", "old"], ["policy"]])
def test_what_is_no_command_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: gatehouse" in capsys.readouterr().err


def test_the_quickstart_is_part_of_the_package() -> None:
    assert quickstart().is_file()


def test_every_problem_of_a_configuration_comes_before_anything_starts(directory: Path) -> None:
    (directory / "gatehouse.yaml").write_text(CONFIG.replace("engine:", "engin:").replace("policy.yaml", "absent.yaml"))
    said = refused(directory)
    assert "gatehouse.yaml:5:1: unknown key `engin` in the configuration (did you mean `engine`?)" in said
    assert "gatehouse.yaml:4:1: `policy` names a file that is not there" in said
    assert said.endswith("3 problems; nothing was started\n")


def test_every_problem_of_a_policy_comes_with_its_place(directory: Path) -> None:
    (directory / "policy.yaml").write_text(
        POLICY.replace("use: secrets", "use: secretz").replace("do: allow", "do: alow")
    )
    said = refused(directory)
    assert "policy.yaml:5:26: " in said
    assert "policy.yaml:8:40: " in said
    assert "2 problems; nothing was started" in said


def test_a_file_that_is_not_there_is_named(directory: Path) -> None:
    (directory / "gatehouse.yaml").unlink()
    assert refused(directory) == "gatehouse: config_unreadable: `gatehouse.yaml`: No such file or directory\n"


def test_an_address_that_cannot_be_bound_is_one_line(directory: Path) -> None:
    (directory / "gatehouse.yaml").write_text(CONFIG.replace("127.0.0.1:1'", "127.0.0.1:99999'", 1))
    assert "gatehouse.yaml:2:15: `api` is not an address" in refused(directory)
    (directory / "gatehouse.yaml").write_text(CONFIG.replace("127.0.0.1:1", "no-such-host.invalid:1"))
    assert "demo key" in refused(directory)


def test_the_same_front_end_is_the_installed_command() -> None:
    installed = Path(sys.executable).parent / "gatehouse"
    if not installed.exists():
        pytest.skip("the package is not installed here")
    done = subprocess.run([installed, "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("gatehouse ")


def _buffered() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("models", "list"), 0), (("policy", "schema"), 0), (("policy", "check", "absent"), 2), (("key", "new"), 0)],
)
def test_a_reader_that_has_seen_enough_is_no_traceback(arguments: tuple[str, ...], status: int) -> None:
    """`gatehouse models list | head -1`: the status stays what the command came to."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli", *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True,
            cwd=ROOT, timeout=60, stdin=subprocess.DEVNULL, env=_buffered(),
        )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr, "BrokenPipe" in done.stderr) == (status, False, False)


def test_a_command_that_is_cut_off_reports_no_success(tmp_path: Path) -> None:
    files = []
    for number in range(300):  # more output than a buffer holds, so that writing fails in the middle
        files.append(tmp_path / f"policy-{number}.yaml")
        files[-1].write_text(POLICY)
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli", "policy", "check", *map(str, files)], stdout=stdout,
            stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=60, stdin=subprocess.DEVNULL, env=_buffered(),
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, "")


def test_a_command_that_crashes_does_not_end_in_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    def crash(_args: argparse.Namespace) -> int:
        raise MemoryError

    assert run(crash, argparse.Namespace()) == 70
    assert "MemoryError" in capsys.readouterr().err


def test_a_command_is_named_as_help_lists_it() -> None:
    (actions,) = (action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert list(COMMANDS) == list(actions.choices)


def test_a_command_imports_nothing_of_the_others() -> None:
    code = "import sys; from gateway.cli import make_parser; make_parser('audit'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert {"gateway.cli", "gateway.commands.audit"} <= (loaded := set(done.stdout.split()))
    assert not {"gateway.config", "gateway.commands.models", "jsonschema", "starlette", "torch"} & loaded
