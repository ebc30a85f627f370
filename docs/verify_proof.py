"""Checks the proof of one record without Gatehouse and without the log. Needs verify.py beside it.

    python verify_proof.py RECORD.json RECORD.tlog-proof FILE.vkey

RECORD.json holds the record's bytes as they were stored, the proof is in the C2SP tlog-proof form, FILE.vkey is the
log's public key from a copy that whoever runs the gateway cannot change. In a log with epoch keys, `keys/` beside the
record holds the certificate of the one that signed the head; the log key's signature under it is what counts.
Exit status: 0 proved, 2 not proved, 5 wrong usage or a key that is none.
"""

import re
import sys
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

from verify import EPOCH, HEAD, HELD, USAGE, Failed, Key, N, open_note, require, signed, sound


def root_from(leaf, index, size, path):
    """RFC 9162, 2.1.3.2: the root that a leaf and its inclusion path lead to; ValueError if the path does not fit."""
    first, last, node = index, size - 1, leaf
    for other in path:
        if last == 0:
            raise ValueError("the path is too long")
        if first & 1 or first == last:
            node = sha256(b"\x01" + other + node).digest()
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + other).digest()
        first, last = first >> 1, last >> 1
    if last:
        raise ValueError("the path is too short")
    return node


def hash_of(text):
    """32 bytes, if the text is their one canonical spelling."""
    data = b64decode(text, validate=True)
    if len(data) != 32 or b64encode(data).decode() != text:
        raise ValueError("not the base64 of a hash")
    return data


def certified(note, log_key):
    """The epoch key that a certificate names."""
    with sound("proof_unsigned", "keys"):
        (origin, number, begin, end, vkey), _ = open_note(note, [log_key], EPOCH)
        key = Key(vkey, int(number), int(begin), int(end))
    require(origin == key.name, "proof_unsigned", "keys", "a key of another name")
    return key


def check(record, proof, vkey, certificates=()):
    """(exit status, what to print)."""
    where = "the proof"
    try:
        with sound("trust", "FILE.vkey", USAGE):
            log_key = Key(vkey)
        keys = [certified(note, log_key) for note in certificates] or [log_key]
        top, _, note = proof.partition(b"\n\n")
        with sound("proof_malformed", where):
            header, index, *path = top.decode("ascii").split("\n")
            number = index.removeprefix("index ")
            path = [hash_of(node) for node in path]
        good = header == "c2sp.org/tlog-proof@v1" and index.startswith("index ") and re.fullmatch(N, number)
        require(good, "proof_malformed", where, "not of the form c2sp.org/tlog-proof@v1")
        size, root, time, *_ = signed(note, keys, HEAD, "proof_unsigned", where)
        require(int(number) < size, "proof_malformed", where, "the record is not in the signed tree")
        with sound("proof_malformed", where):
            led_to = root_from(sha256(b"\x00" + record).digest(), int(number), size, path)
        require(
            b64encode(led_to).decode() == root,
            "not_proved",
            "the record",
            "record and path do not lead to the signed root",
        )
    except Failed as exc:
        status, code, _, problem = exc.args
        return status, f"NOT PROVED  {code}: {problem}"
    return HELD, f"ok  record {number} of {log_key.name}, root {root} signed at {time} ns since 1970"


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        sys.exit(USAGE)
    try:
        record, proof, vkey = (Path(name).read_bytes() for name in sys.argv[1:])
        certificates = [path.read_bytes() for path in sorted(Path(sys.argv[1]).parent.glob("keys/*.vkey"))]
    except OSError as exc:
        print(f"`{exc.filename}`: {exc.strerror}", file=sys.stderr)
        sys.exit(USAGE)
    status, told = check(record, proof, vkey.decode(errors="replace"), certificates)
    print(told)
    sys.exit(status)
