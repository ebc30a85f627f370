"""Verifies a Gatehouse audit log without Gatehouse: one file, Python 3.11 or later, and the package `cryptography`.

    python verify.py LOG-DIRECTORY FILE.vkey

Written from docs/audit-format.md alone, so that a mistake in Gatehouse's own verifier is not repeated here. Read it, or
have it read, before you trust it. FILE.vkey is the public key of the log, from a copy that whoever runs the gateway
cannot change. Memory does not grow with the log. Prints one JSON object; no content of a record is ever printed.

Exit status: 0 everything held, 2 altered or corrupt, 3 rollback or fork, 4 incomplete evidence, 5 usage or trust root.
"""

import hashlib
import json
import os
import re
import sys
from base64 import b64decode, b64encode
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HELD, ALTERED, ROLLBACK, INCOMPLETE, USAGE = 0, 2, 3, 4, 5
LINE, SAFE = 32768, 2**53 - 1
NUMBER = re.compile("0|[1-9][0-9]{0,19}")
SEGMENT = re.compile(r"([0-9]{16})\.jsonl")
NAME = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
ADMIT, PROGRESS, REFUSE = "request.admit", "response.progress", "request.refuse"
CLOSES = ("response.complete", "response.abort", "response.orphan", REFUSE)


class Failed(Exception):
    """The first thing that does not hold."""

    def __init__(self, status, code, where, problem):
        super().__init__(problem)
        self.status, self.code, self.where = status, code, where


def require(holds, code, where, problem, status=ALTERED):
    if not holds:
        raise Failed(status, code, where, problem)


def sha256(data):
    return hashlib.sha256(data).digest()


def canonical_b64(text, length):
    """The bytes, if the text is their one canonical spelling; ValueError if not."""
    data = b64decode(text, validate=True)
    if len(data) != length or b64encode(data).decode() != text:
        raise ValueError("base64 is not in its canonical form")
    return data


class Key:
    """The trust root: a name and an Ed25519 key, as `<name>+<id>+<base64 of the byte 1 and the key>`."""

    def __init__(self, vkey):
        self.vkey = vkey.strip()
        self.name, id_, blob = (*self.vkey.split("+", 2), "", "")[:3]
        try:
            raw = canonical_b64(blob, 33)
            self.id = sha256(self.name.encode() + b"\n" + raw)[:4]
            good = NAME.fullmatch(self.name) and raw[0] == 1 and self.id.hex() == id_
        except ValueError:
            good = False
        require(good, "trust", "FILE.vkey", "not a verifier key of the Ed25519 kind", USAGE)
        self.public = Ed25519PublicKey.from_public_bytes(raw[1:])

    def open(self, note):
        """The lines of a note that this key signed; ValueError says what is wrong with it."""
        text, _, signatures = note.decode().rpartition("\n\n")
        own = [self.own(line) for line in signatures[:-1].split("\n")]
        if not signatures.endswith("\n") or not any(own):
            raise ValueError("incomplete, or without a signature by the trusted key")
        for signature in filter(None, own):
            try:
                self.public.verify(signature, (text + "\n").encode())
            except InvalidSignature:
                raise ValueError("the signature does not match the text") from None
        return text.split("\n")

    def own(self, line):
        """The signature if the line is by this key; lines by other keys are skipped."""
        dash, name, blob = (*line.split(" "), "", "")[:3]
        if dash != "—" or line.count(" ") != 2:
            raise ValueError("malformed signature line")
        if name != self.name or b64decode(blob, validate=True)[:4] != self.id:
            return None
        return canonical_b64(blob, 68)[4:]

    def head(self, note):
        """(size, root, time) of a signed head."""
        origin, size, root, time = self.open(note)  # ValueError unless there are four lines
        word, _, time = time.partition(" ")
        if origin != self.name or word != "time" or not NUMBER.fullmatch(size) or not NUMBER.fullmatch(time):
            raise ValueError("not a head of this log")
        return int(size), canonical_b64(root, 32), int(time)


class Tree:
    """RFC 6962, one leaf at a time: only the roots of full subtrees are kept."""

    size, peaks = 0, ()

    def push(self, leaf):
        size, self.size = self.size, self.size + 1
        while size & 1:
            leaf, size = sha256(b"\x01" + self.peaks[-1] + leaf), size >> 1
            self.peaks = self.peaks[:-1]
        self.peaks += (leaf,)

    def root(self):
        root = self.peaks[-1] if self.peaks else sha256(b"")
        for peak in reversed(self.peaks[:-1]):
            root = sha256(b"\x01" + peak + root)
        return root


class Heads:
    """`checkpoints.log` up to the size it had at the beginning, one note ahead of the tree."""

    def __init__(self, file, newest, key):
        self.file, self.key, self.count, self.last, self.newest_seen = file, key, 0, None, False
        self.end = self.file.seek(0, 2)
        self.file.seek(0)
        self.newest = newest.read_bytes() if newest.exists() else None
        if self.newest is not None:
            self.opened(self.newest, "checkpoint")
        self.next = self.read()

    def opened(self, note, where):
        try:
            return self.key.head(note)
        except ValueError as exc:
            raise Failed(ALTERED, "checkpoint", where, f"not a signed head: {exc}") from None

    def read(self):
        note, complete = b"", False
        while self.file.tell() < self.end and not complete:
            line = self.file.readline(4096)
            complete = line == b"\n" and b"\n\n" in note  # the empty line before the signatures is not the last one
            note += b"" if complete else line
        if not complete:
            return None  # the end, or a note that is being written
        self.count += 1
        self.newest_seen = self.newest_seen or note == self.newest
        where = f"checkpoints.log, note {self.count}"
        head = self.opened(note, where)
        before = self.last or head
        require(head[0] >= before[0], "checkpoint_order", where, "the log became shorter", ROLLBACK)
        require(head[2] >= before[2], "checkpoint_order", where, "time went back")
        self.last = head
        return head

    def check(self, tree):
        """Compare every head that was signed at the present size."""
        while self.next is not None and self.next[0] == tree.size:
            where = f"checkpoints.log, note {self.count}"
            require(self.next[1] == tree.root(), "checkpoint_root", where, "another root was signed")
            self.next = self.read()

    def finish(self, tree):
        where = f"checkpoints.log, note {self.count}"
        require(self.next is None, "rollback", where, f"more than the {tree.size} records were signed", ROLLBACK)
        require(self.last is not None, "checkpoint_missing", "checkpoints.log", "no signed head", INCOMPLETE)
        require(self.newest is not None, "checkpoint", "checkpoint", "there is no such file", INCOMPLETE)
        require(self.newest_seen, "checkpoint", "checkpoint", "none of the notes in checkpoints.log")


def integer(text):
    if text.strip("-0123456789") or len(text) > 17 or abs(int(text)) > SAFE:
        raise ValueError("not an integer of at most 53 bits")
    return int(text)


def parse(line):
    """The record of a line, if the line is its canonical form. That rules out repeated keys, too."""
    record = json.loads(line.decode(), parse_float=integer, parse_int=integer, parse_constant=integer)
    again = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not isinstance(record, dict) or len(line) > LINE or again.encode() != line:
        raise ValueError("not an object in canonical form")
    return record


class Log:
    """One walk over the records, in order."""

    def __init__(self, directory, key):
        self.directory, self.key, self.tree = directory, key, Tree()
        self.leaf, self.before, self.open, self.notes = bytes(32), None, {}, []

    def verify(self):
        birth = self.directory / "LOG"
        require(birth.exists(), "log_note", "LOG", "there is no such file", INCOMPLETE)
        note, own = birth.read_bytes(), f"key {self.key.vkey}"
        require(f"\n{own}\n".encode() in note, "trust", "LOG", "the log is not of this trust root", USAGE)
        try:
            form, origin, _, kind, key = self.key.open(note)
        except ValueError as exc:
            raise Failed(ALTERED, "log_note", "LOG", f"not the signed note of a log: {exc}") from None
        expected = ("gatehouse-audit-log/v1", self.key.name, "hash sha256", own)
        require((form, origin, kind, key) == expected, "log_note", "LOG", "not the note of this log")
        history, newest = self.directory / "checkpoints.log", self.directory / "checkpoint"
        with open(history if history.exists() else os.devnull, "rb") as file:
            self.heads = Heads(file, newest, self.key)  # before the segments are listed: the log may be growing
            self.heads.check(self.tree)
            names = [(SEGMENT.fullmatch(path.name), path) for path in (self.directory / "seg").iterdir()]
            segments = sorted((int(match[1]), path) for match, path in names if match)
            for index, (first, path) in enumerate(segments):
                self.segment(first, path, segments[index - 1][0] if index else None, segments[index + 1 : index + 2])
            self.heads.finish(self.tree)

    def segment(self, first, path, previous, following):
        where, size = f"seg/{path.name}", self.tree.size
        expected = f"expected a segment that starts with record {size}"
        require(first <= size, "segment_missing", where, expected, INCOMPLETE)
        require(first == size, "segment_name", where, expected)
        claimed = continues(following[0][1]) if following else None
        end = claimed[1] if claimed and claimed[0] == first else None
        number, offset, raw = 0, 0, b""
        with path.open("rb", buffering=1 << 20) as file:
            while end is None or offset < end:
                raw = file.readline(LINE + 2)
                if not raw.endswith(b"\n") and len(raw) <= LINE + 1:
                    break
                number += 1
                self.line(raw, f"{where}:{number}", previous if number == 1 else -1)
                offset += len(raw)
        require(end in (None, offset), "continues", where, f"no line ends at byte {end}, as the next segment says")
        if end is None and raw:
            require(not following, "torn", where, f"{len(raw)} bytes without a newline")
            self.notes.append(f"{where} ends in an unfinished write of {len(raw)} bytes")

    def line(self, raw, where, previous):
        """`previous`: first record of the segment before, for a segment's first line; -1 for other lines."""
        try:
            record = parse(raw[:-1])
        except (ValueError, RecursionError):
            raise Failed(ALTERED, "form", where, "not one record in canonical JSON") from None
        self.linked(record, where)
        claim = record.get("continues", {"first": previous})
        names_it = isinstance(claim, dict) and claim.get("first") == previous
        require(names_it, "continues", where, "`continues` does not name the segment before")
        covered(record, where)
        self.paired(record, where)
        self.leaf = sha256(b"\x00" + raw[:-1])
        self.tree.push(self.leaf)
        self.heads.check(self.tree)

    def linked(self, record, where):
        """Version, name, number, link and clocks."""
        require(type(record.get("v")) is int and record["v"] == 1, "version", where, "expected version 1")
        require(record.get("origin") == self.key.name, "origin", where, "another log's record")
        texts = [record.get(key) for key in ("prev", "boot", "type", "ts", "mono")]
        good = type(record.get("seq")) is int and all(isinstance(text, str) for text in texts)
        good = good and all(NUMBER.fullmatch(text) for text in texts[3:])
        require(good, "fields", where, "seq, prev, ts, mono, boot or type is missing or of another kind")
        prev, boot, kind, ts, mono = *texts[:3], *map(int, texts[3:])
        require(record["seq"] == self.tree.size, "sequence", where, f"expected record {self.tree.size}")
        require(prev == b64encode(self.leaf).decode(), "link", where, "`prev` is not the hash of the record before")
        was_ts, was_mono, was_boot = self.before or (ts, mono, boot)
        require(ts >= was_ts or kind == "clock.step", "time", where, "ts went back without a clock.step record")
        require(mono >= was_mono or boot != was_boot, "time", where, "mono went back within one boot")
        self.before = ts, mono, boot

    def paired(self, record, where):
        """Every admitted exchange ends once, and a start leaves none open."""
        kind, request = record["type"], record.get("req")
        require(kind != "gateway.start" or not self.open, "pairing", where, "an exchange before this start has no end")
        if kind not in (ADMIT, PROGRESS, *CLOSES):
            return
        require(isinstance(request, str), "pairing", where, "no request id")
        is_open = request in self.open
        require(kind != ADMIT or not is_open, "pairing", where, "a request was admitted twice")
        require(kind in (ADMIT, REFUSE) or is_open, "pairing", where, "a step of an exchange that is not open")
        if kind == ADMIT:
            self.open[request] = self.tree.size
        elif kind in CLOSES:
            self.open.pop(request, None)


def covered(record, where):
    """What was neither scanned nor exempted by a rule must not have passed."""
    coverage, decision = record.get("coverage"), record.get("decision")
    if coverage is None or record["type"] == REFUSE:
        return
    is_object = isinstance(coverage, dict)
    whole = is_object and not coverage.get("uncovered")
    whole = whole and all(accounted(coverage, unit) for unit in ("parts", "bytes"))
    blocked = is_object and isinstance(decision, dict) and decision.get("action") == "block"
    require(whole or blocked, "coverage", where, "a part that was not scanned was let through")


def accounted(coverage, unit):
    total, scanned, exempt = coverage.get(unit), coverage.get(f"{unit}_scanned"), coverage.get(f"{unit}_exempt", 0)
    return all(type(n) is int and n >= 0 for n in (total, scanned, exempt)) and total == scanned + exempt


def continues(path):
    """What a segment's first record says about the one before; the record is checked when its turn comes."""
    with path.open("rb") as file, suppress(ValueError, KeyError, TypeError, RecursionError):
        claim = json.loads(file.readline(LINE + 2))["continues"]
        return int(claim["first"]), int(claim["offset"])


def verify(directory, vkey):
    """What was found, as it is printed."""
    log, result = None, {"exit": HELD}
    try:
        log = Log(Path(directory), Key(Path(vkey).read_text()))
        log.verify()
        size, signed = log.tree.size, log.heads.last[0]
        result |= {
            "root": b64encode(log.tree.root()).decode(),
            "signed": signed,
            "open": [*log.open],
            "notes": log.notes,
        }
        result["proved"] = (
            f"records 0 to {size - 1} are complete and unaltered; the last {size - signed} are linked but not signed; "
            "this rests on the log's own key: whoever held key and disk could have replaced the whole log"
        )
    except Failed as exc:
        result = {"exit": exc.status, "code": exc.code, "where": exc.where, "problem": str(exc)}
    except (OSError, UnicodeDecodeError) as exc:
        result = {"exit": USAGE, "code": "unreadable", "where": directory, "problem": type(exc).__name__}
    return result | {"records": log.tree.size if log else 0}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(USAGE)
    found = verify(*sys.argv[1:])
    print(json.dumps(found, indent=1))
    sys.exit(found["exit"])
