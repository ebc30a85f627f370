"""Whatever is sent to a witness, in whatever order: its cosigned heads are those of one growing log."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.merkle import between
from gateway.witness.errors import Refused
from gateway.witness.seen import SeenFiles
from gateway.witness.service import Witness
from tests.gateway.audit.harness import ORIGIN
from tests.gateway.witness.live_witness import COSIGNER
from tests.gateway.witness.test_service import FORKED, LEAVES, LOG, note_of, root

HISTORIES = {"true": LEAVES, "forked at 5": FORKED, "forked at 0": LEAVES[::-1]}
ASKS = st.tuples(st.sampled_from(sorted(HISTORIES)), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))


@given(st.lists(ASKS, max_size=25))
@settings(max_examples=150, deadline=None)
def test_cosigned_heads_are_those_of_one_history(asks: list[tuple[str, int, int, int]]) -> None:
    cosigned: list[tuple[int, bytes]] = []
    with tempfile.TemporaryDirectory() as state:
        for name, old, size, proof_from in asks:
            leaves = HISTORIES[name]
            proof = [b64encode(root(leaves[start:end])).decode() for start, end in between(proof_from, size)]
            body = "\n".join([f"old {old}", *proof, "", ""]).encode() + note_of(size, leaves)
            # Opened anew for each request: what was seen is on disk, or it was not seen.
            with closing(SeenFiles(Path(state))) as seen:
                try:
                    Witness({ORIGIN: LOG.verifier}, COSIGNER, seen).add_checkpoint(body, b"")
                except Refused:
                    continue
            cosigned.append((size, root(leaves[:size])))
    sizes = [size for size, _ in cosigned]
    assert sizes == sorted(sizes)
    histories = [leaves for leaves in HISTORIES.values() if all(root(leaves[:size]) == head for size, head in cosigned)]
    assert histories, "two histories were cosigned"
