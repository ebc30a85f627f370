"""What cannot be run is refused before a file is read, and processes divide what is resident."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import ModelRefused
from engine.options import Options


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"precision": "int3"}, "precision_unsupported"),
        ({"kv_precision": "int4"}, "precision_unsupported"),
        ({"processes": 0}, "parallel_unsupported"),
        ({"offload": "experts", "precision": "int8"}, "offload_unsupported"),
    ],
)
def test_what_is_not_computed_is_refused(options: dict[str, Any], code: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        Options(**options)
    assert caught.value.code == code


def test_what_only_processors_do_is_named() -> None:
    assert [Options().only_cpu, Options(offload="experts").only_cpu] == ["", "`offload`"]
    assert Options(processes=2).only_cpu == "several `processes`"


def test_each_process_has_a_part_of_what_is_resident() -> None:
    assert [Options(resident_bytes=7, processes=2).resident_bytes_each, Options().resident_bytes_each] == [4, 0]
