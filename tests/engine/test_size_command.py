"""The answer as people and scripts get it, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.size_command import DOES_NOT_FIT, FITS, UNREADABLE, main
from tests.engine import tiny


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status = main([*arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_scout_in_four_bits_leaves_a_card_room_for_some_conversations(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = told(capsys, "--model", "scout", "--gpu", "h100", "--precision", "int4")
    (plan,) = found["plans"]
    assert status == FITS
    assert plan["weight_bytes"] / 1e9 == pytest.approx(60.4, abs=0.05)
    assert plan["room_bytes"] / 1e9 == pytest.approx(21.1, abs=0.05)
    assert plan["all_layers"]["sequences"] == 13
    assert plan["hybrid"]["longest"] > 3 * plan["all_layers"]["longest"]


def test_pictures_take_tokens_of_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = told(capsys, "--model", "scout", "--gpu", "h100")
    assert found["images"] == {"336x336": 147, "640x480": 727, "1280x720": 1887, "1920x1080": 2322, "1344x1344": 2467}
    _, found = told(capsys, "--model", "llama-guard-3-8b", "--gpu", "h100")
    assert found["images"] == {}
    main(["--model", "llama-guard-4", "--gpu", "h100"])
    assert "tokens of a picture: 336x336 147, 640x480 727" in capsys.readouterr().out


def test_a_million_positions_fit_only_where_chunked_layers_keep_one_chunk(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = told(
        capsys, "--model", "scout", "--gpu", "h200", "--precision", "int4", "--context", "1048576"
    )  # fmt: skip
    assert status == FITS
    assert (found["plans"][0]["hybrid"]["sequences"], found["plans"][0]["all_layers"]["sequences"]) == (1, 0)


def test_without_a_precision_all_are_weighed(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = told(capsys, "--model", "maverick", "--gpu", "h200")
    assert status == DOES_NOT_FIT
    assert [plan["fits"] for plan in found["plans"]] == [False] * 6


def test_a_directory_is_read_as_the_model_host_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tiny.llama4(tmp_path)
    status, found = told(capsys, "--model", str(directory), "--gpu", "1", "--workspace", "0", "--kv", "fp32")
    assert status == FITS
    assert found["max_positions"] == 256
    assert found["kv"] == {"kept_as": "fp32", "full_bytes": 128, "chunked_bytes": 384, "chunk": 16}
    assert found["plans"][0]["all_layers"]["longest"] == 256


@pytest.mark.parametrize("kept_as", ["int8", "fp8"])
def test_keys_in_eight_bits_take_a_scale_for_each_head(kept_as: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = told(capsys, "--model", "scout", "--gpu", "h200", "--kv", kept_as)
    assert found["kv"]["full_bytes"] == 12 * 2 * 8 * (128 + 2)


@pytest.mark.parametrize("precision", [[], ["--precision", "fp8"], ["--precision", "bf16"]])
def test_people_are_told_why(precision: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["--model", "scout", "--gpu", "141", *precision])
    said = capsys.readouterr().out
    assert "192 KiB a position, 48 KiB past 8,192" in said
    assert ("  experts  " in said) == bool(precision)
    assert ("does not fit: the weights alone" in said) == ("bf16" in precision)
    assert "has not been run on a\nGPU yet" in said


def test_what_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(tmp_path), "--gpu", "80"]) == UNREADABLE
    assert "scout, maverick" in capsys.readouterr().err
    for text in ("[]", '{"architectures": ["MixtralForCausalLM"]}', '{"architectures": ["LlamaForCausalLM"]}'):
        (tmp_path / "config.json").write_text(text)
        assert main(["--model", str(tmp_path), "--gpu", "80"]) == UNREADABLE
        assert capsys.readouterr().err.startswith("gatehouse size: ")


@pytest.mark.parametrize(
    "wrong", [["--gpu", "0"], ["--gpu", "rtx"], ["--gpu", "nan"], ["--gpu", "80", "--context", "0"]]
)
def test_a_senseless_argument_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--model", "scout", *wrong])
    assert caught.value.code == UNREADABLE


def test_no_model_library_is_needed() -> None:
    program = (
        "import sys, engine.size_command as c; c.main(['--model', 'scout', '--gpu', 'h100']);"
        "assert not {'torch', 'transformers'} & sys.modules.keys()"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60).returncode == 0
