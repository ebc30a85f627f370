"""What may be asked for is what there is."""

from __future__ import annotations

from engine import pages
from engine.choices import AS_STORED, KV_PRECISIONS, PRECISIONS, TASKS
from engine.form import GPU_DTYPES
from engine.matrix import DTYPES


def test_every_name_has_something_behind_it() -> None:
    assert set(PRECISIONS["generate"]) == {"auto", *DTYPES, *GPU_DTYPES}
    assert set(KV_PRECISIONS["generate"]) == set(pages._KINDS)
    assert set(AS_STORED) < set(DTYPES)
    assert set(PRECISIONS) == set(KV_PRECISIONS) == set(TASKS)
