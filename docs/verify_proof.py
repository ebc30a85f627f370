"""Checks the proof of one record without Gatehouse and without the log. Needs verify.py beside it.

    python verify_proof.py RECORD.json RECORD.tlog-proof FILE.vkey

RECORD.json holds the record's bytes as they were stored, the proof is in the C2SP tlog-proof form, FILE.vkey is the
log's public key from a copy that whoever runs the gateway cannot change.
Exit status: 0 proved, 2 not proved, 5 wrong usage or a key that is none.
"""

import sys
from base64 import b64encode
from pathlib import Path

from verify import ALTERED, HELD, NUMBER, USAGE, Failed, Key, canonical_b64, require, sha256


def root_from(leaf, index, size, path):
    """RFC 9162, 2.1.3.2: the root that a leaf and its inclusion path lead to; ValueError if the path does not fit."""
    first, last, node = index, size - 1, leaf
    for other in path:
        if last == 0:
            raise ValueError("the path is too long")
        if first & 1 or first == last:
            node = sha256(b"\x01" + other + node)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + other)
        first, last = first >> 1, last >> 1
    if last:
        raise ValueError("the path is too short")
    return node


def check(record, proof, vkey):
    """(exit status, what to print)."""
    try:
        key = Key(vkey)
        top, _, note = proof.partition(b"\n\n")
        header, index, *path = top.decode("ascii").split("\n")
        number = index.removeprefix("index ")
        good = header == "c2sp.org/tlog-proof@v1" and index.startswith("index ") and NUMBER.fullmatch(number)
        require(good, "proof_malformed", "the proof", "not of the form c2sp.org/tlog-proof@v1")
        size, root, time = key.head(note)
        require(int(number) < size, "proof_malformed", "the proof", "the record is not in the signed tree")
        led_to = root_from(sha256(b"\x00" + record), int(number), size, [canonical_b64(node, 32) for node in path])
        require(led_to == root, "not_proved", "the record", "record and path do not lead to the signed root")
    except Failed as exc:
        return exc.status, f"NOT PROVED  {exc.code}: {exc}"
    except ValueError as exc:
        return ALTERED, f"NOT PROVED  proof_malformed: {exc}"
    return HELD, f"ok  record {number} of {key.name}, root {b64encode(root).decode()} signed at {time} ns since 1970"


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        sys.exit(USAGE)
    try:
        record, proof, vkey = (Path(name).read_bytes() for name in sys.argv[1:])
    except OSError as exc:
        print(f"`{exc.filename}`: {exc.strerror}", file=sys.stderr)
        sys.exit(USAGE)
    status, told = check(record, proof, vkey.decode(errors="replace"))
    print(told)
    sys.exit(status)
