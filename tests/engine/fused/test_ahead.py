"""What a start would compile is compiled before it."""

from __future__ import annotations

import pytest

from engine.fused.ahead import main


def test_what_is_named_is_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--precision", "fp32", "--kv-precision", "auto", "int8"]) == 0
    assert "compiled for fp32" in capsys.readouterr().out


def test_without_the_extra_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], has_loops=lambda: False) == 2
    assert "`fast` is not installed" in capsys.readouterr().err


def test_a_precision_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["--precision", "fp7"])
