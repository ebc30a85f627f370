"""Verifies a Gatehouse audit log without Gatehouse: one file, Python 3.11 or later, and the package `cryptography`.

    python verify.py LOG-DIRECTORY FILE.vkey [SIGNED-HEAD]...

Written from docs/audit-format.md alone, so that a mistake in Gatehouse's own verifier is not repeated here. Read it, or
have it read, before you trust it. FILE.vkey is the log's public key, from a copy that whoever runs the gateway cannot
change, and so are the signed heads to compare with. Prints one JSON object; no content of a record is ever printed.

Exit status: 0 everything held, 2 altered or corrupt, 3 rollback or fork, 4 incomplete evidence, 5 usage or trust root.
"""

import json
import re
import sys
from base64 import b64decode, b64encode
from collections import namedtuple
from contextlib import contextmanager, suppress
from functools import reduce
from hashlib import sha256
from mmap import ACCESS_READ, mmap
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HELD, ALTERED, ROLLBACK, INCOMPLETE, USAGE = 0, 2, 3, 4, 5
LINE, SAFE, SECOND = 32768, 2**53 - 1, 10**9
N, B64, NAME = "(0|[1-9][0-9]{0,19})", "([A-Za-z0-9+/]+=*)", "([A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*)"
LOG = rf"gatehouse-audit-log/v(1|2)\n{NAME}\ncreated {N}\nhash sha256\nkey (\S+)(\nadopts {NAME} {N} {B64})?"
EPOCH = rf"gatehouse-audit-epoch/v1\n{NAME}\nepoch {N}\nfrom {N}\nuntil {N}\nkey (\S+)"
SEAL = rf"gatehouse-audit-seal/v1\n{NAME}\nfirst {N}\nlast {N}\nroot {B64}\nbytes {N}\nsha256 {B64}\ntime {N}"
HEAD = rf"{NAME}\n{N}\n{B64}\ntime {N}"
ADMIT, PROGRESS, REFUSE = "request.admit", "response.progress", "request.refuse"
ENDS, START, STEP = ("response.complete", "response.abort", "response.orphan", REFUSE), "gateway.start", "clock.step"
Head = namedtuple("Head", "size root time epoch code where")


class Failed(Exception):
    """The first thing that does not hold: exit status, code, where, and what is wrong."""


def require(holds, code, where, problem, status=ALTERED):
    if not holds:
        raise Failed(status, code, where, problem)


@contextmanager
def sound(code, where, status=ALTERED):
    """What cannot be read, or is not signed as it must be, does not hold."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidSignature) as exc:
        raise Failed(status, code, where, f"malformed, or not signed as it must be: {type(exc).__name__}") from None


def b64(data):
    return b64encode(data).decode()


class Key:
    """`<name>+<id>+<base64 of the byte 1 and an Ed25519 key>`, and the time in which it may sign."""

    def __init__(self, vkey, epoch=-1, begin=0, end=2**64):
        self.vkey, self.epoch, self.begin, self.end = vkey.strip(), epoch, begin, end
        self.name, _, blob = self.vkey.split("+", 2)
        raw = b64decode(blob, validate=True)
        self.id = sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        if (
            not re.fullmatch(NAME, self.name)
            or raw[:1] != b"\1"
            or f"{self.name}+{self.id.hex()}+{b64(raw)}" != self.vkey
        ):
            raise ValueError("not a verifier key of the Ed25519 kind, or base64 in another spelling")
        self.public = Ed25519PublicKey.from_public_bytes(raw[1:])

    def covers(self, time):
        return self.begin - SECOND <= int(time) <= self.end + 60 * SECOND


def open_note(note, keys, form, needed=1):
    """What stands in a note of that form, and the last key that signed it; lines of other keys are skipped."""
    text, _, lines = note.decode().rpartition("\n\n")
    found, signers = re.fullmatch(form, text), {}
    for line in lines.removesuffix("\n").split("\n"):
        dash, name, blob = line.split(" ")
        raw = b64decode(blob, validate=True) if name == keys[0].name else b""
        for key in (key for key in keys if key.id == raw[:4]):
            key.public.verify(raw[4:], (text + "\n").encode())
            signers[key.id] = key if b64(raw) == blob else None  # base64 has one canonical spelling
        if dash != "—" or not lines.endswith("\n"):
            raise ValueError("malformed signature line")
    if len(signers) != needed or None in signers.values() or not found or keys[0].name not in found.groups()[:2]:
        raise ValueError("of another form or log, or not signed by the key, or the keys, that it needs")
    return found.groups(), [*signers.values()][-1]


def signed(note, keys, form, code, where, status=ALTERED):
    """(what a note says between origin and time, time, epoch of the key, code, where); the key is one of that time."""
    with sound(code, where, status):
        (_, *said, time), key = open_note(note, keys, form)
    require(key.covers(time), code, where, "signed outside the time of its key", status)
    return *(int(text) if text.isdigit() else text for text in said), int(time), key.epoch, code, where


def integer(text):
    if text.strip("-0123456789") or len(text) > 17 or abs(int(text)) > SAFE:
        raise ValueError("not an integer of at most 53 bits")
    return int(text)


def parse(line):
    """The object of a line, if the line is its canonical form. That rules out repeated keys, too."""
    record = json.loads(line.decode(), parse_float=integer, parse_int=integer, parse_constant=integer)
    again = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not isinstance(record, dict) or len(line) > LINE or again.encode() != line:
        raise ValueError("not an object in canonical form")
    return record


class Log:
    """One walk over the records, in order. Of the tree (RFC 6962) only the roots of full subtrees are kept."""

    def __init__(self, directory):
        self.directory, self.size, self.peaks, self.leaf, self.before = directory, 0, [], bytes(32), None
        self.open, self.loaded, self.anchors, self.notes, self.head = {}, set(), set(), [], None
        self.broken, self.clock_set, self.seen, self.kept = 0, False, False, 0

    def read(self, name):
        path = self.directory / name
        return path.read_bytes() if path.exists() else None

    def verify(self, log_key, kept):
        newest, anchors, history = self.read("checkpoint"), self.read("anchors.log"), b""
        with suppress(FileNotFoundError, ValueError), (self.directory / "checkpoints.log").open("rb") as file:
            history = mmap(file.fileno(), 0, access=ACCESS_READ)  # as long as it is now: the log may be growing
        self.begin(self.read("LOG"), log_key)
        claims = [self.signed(Path(path).read_bytes(), "given_head", str(path), ROLLBACK) for path in kept]
        claims += [
            self.anchor(line, f"anchors.log:{n}") for n, line in enumerate((anchors or b"").split(b"\n")[:-1], 1)
        ]
        self.claims = sorted(claims, key=lambda claim: claim.size, reverse=True)
        newest is None or self.signed(newest, "checkpoint", "checkpoint")
        self.heads = self.history(history, newest)
        self.next = next(self.heads, None)
        self.compare()
        paths = sorted(self.directory.glob("seg/" + "[0-9]" * 16 + ".jsonl"))
        for before, path, after in zip([None, *paths], paths, [*paths[1:], None], strict=False):
            self.segment(before and int(before.stem), path, after)
        told = f"more than the {self.size} records were signed"
        require(not self.next, "rollback", "checkpoints.log", told, ROLLBACK)
        require(self.head, "checkpoint_missing", "checkpoints.log", "no signed head", INCOMPLETE)
        require(newest is not None, "checkpoint", "checkpoint", "there is no such file", INCOMPLETE)
        require(self.seen, "checkpoint", "checkpoint", "none of the notes in checkpoints.log")
        for claim in self.claims[-1:]:
            raise Failed(ROLLBACK, claim.code, claim.where, told)

    def begin(self, note, log_key):
        """The log is that of the key, and a chain of certificates leads from there to the keys that sign."""
        require(note is not None, "log_note", "LOG", "there is no such file", INCOMPLETE)
        ours = f"\nkey {log_key.vkey}\n".encode() in note
        require(ours, "trust", "LOG", "the log is not of this trust root", USAGE)
        with sound("log_note", "LOG"):
            (version, _, _, vkey, self.adopts, *_), _ = open_note(note, [log_key], LOG)
        good = vkey == log_key.vkey and not (self.adopts and version == "1")
        require(good, "log_note", "LOG", "not the note of this log")
        self.name, self.epochs, self.epoch, self.keys = log_key.name, version == "2", int(version) - 2, []
        for path in sorted(self.directory.glob("keys/" + "[0-9]" * 8 + ".vkey")) if self.epochs else ():
            number, where, last = len(self.keys), f"keys/{path.name}", self.keys[-1:]
            require(int(path.stem) == number, "epoch_missing", where, f"expected epoch {number}", INCOMPLETE)
            with sound("epoch_certificate", where):
                (origin, named, *times, vkey), _ = open_note(path.read_bytes(), [log_key, *last], EPOCH, 1 + len(last))
                key = Key(vkey, number, *map(int, times))
            good = origin == key.name and named == str(number) and key.begin < key.end
            good = good and key.id not in (log_key.id, *(other.id for other in self.keys))
            good = good and all(key.begin >= max(k.end - 60 * SECOND, k.begin) and key.end >= k.end for k in last)
            require(
                good, "epoch_certificate", where, "another epoch, a key used before, or a time that does not follow"
            )
            self.keys.append(key)
        self.keys = self.keys if self.epochs else [log_key]

    def signed(self, note, code, where, status=ALTERED):
        return Head(*signed(note, self.keys, HEAD, code, where, status))

    def anchor(self, line, where):
        """The signed head in a line of anchors.log."""
        with sound("anchor", where):
            entry = parse(line)
            note, _ = entry["proof"]["note"].encode(), int(entry["ts"])
            self.anchors.add((entry["name"], entry["kind"], entry["size"]))
        head = self.signed(note, "anchor", where)
        good = head[:2] == (entry["size"], entry.get("root"))
        require(good, "anchor", where, "size or root is not that of the head in `proof`")
        return head

    def history(self, data, newest):
        """Every signed head of checkpoints.log, in order; text, an empty line, signatures, an empty line."""
        before, start, number = None, 0, 1
        while (middle := data.find(b"\n\n", start)) >= 0 and (end := data.find(b"\n\n", middle + 1)) >= 0:
            note, start = data[start : end + 1], end + 2
            head = self.signed(note, "checkpoint", f"checkpoints.log, note {number}")
            before, self.seen, number = before or head, self.seen or note == newest, number + 1
            require(head.size >= before.size, "checkpoint_order", head.where, "the log became shorter", ROLLBACK)
            follows = head.time >= before.time and head.epoch >= before.epoch
            require(follows, "checkpoint_order", head.where, "time or epoch went back")
            yield (before := head)

    def segment(self, previous, path, following):
        where, first, end = f"seg/{path.name}", int(path.stem), None
        told = f"expected a segment that starts with record {self.size}"
        require(first <= self.size, "segment_missing", where, told, INCOMPLETE)
        require(first == self.size, "segment_name", where, told)
        seal = self.read(f"seg/{path.stem}.seal")
        with (
            suppress(ValueError, KeyError, TypeError, RecursionError, AttributeError),
            (following or path).open("rb") as file,
        ):
            claim = json.loads(file.readline(LINE + 2))["continues"]  # the record is checked when its turn comes
            end = int(claim["offset"]) if following and claim["first"] == first else None
        number, offset, raw, digest = 0, 0, b"", sha256()
        with path.open("rb", buffering=1 << 20) as file:
            while end is None or offset < end:
                raw = file.readline(LINE + 2)
                if not raw.endswith(b"\n") and len(raw) <= LINE + 1:
                    break
                number, offset = number + 1, offset + len(raw)
                digest.update(raw)
                self.line(raw[:-1], f"{where}:{number}", number, previous)
        require(end in (None, offset), "continues", where, f"no line ends at byte {end}, as the next segment says")
        require(not raw or raw.endswith(b"\n") or not following, "torn", where, f"{len(raw)} bytes without a newline")
        if self.epochs and offset:
            require(seal or not following, "seal_missing", where, "a closed segment has no seal", INCOMPLETE)
            held = [first, self.size - 1, b64(self.root()), offset, b64(digest.digest())]
            said = signed(seal, self.keys, SEAL, "seal", where)[:5] if seal is not None else held
            require([*said] == held, "seal", where, "the seal is of something else")

    def line(self, line, where, number, previous):
        with sound("form", where):
            record = parse(line)
        self.linked(record, where)
        claim = record.get("continues", {"first": previous} if number == 1 else {})
        good = isinstance(claim, dict) and claim.get("first") == previous if number == 1 else claim == {}
        require(good, "continues", where, "`continues` does not name the segment before, or is not in the first record")
        require(covered(record), "coverage", where, "a part that was not scanned was let through")
        self.told(record, where, number)
        self.leaf = node = sha256(b"\0" + line).digest()
        height, self.size = 0, self.size + 1
        while self.peaks and self.peaks[-1][0] == height:
            node, height = sha256(b"\1" + self.peaks.pop()[1] + node).digest(), height + 1
        self.peaks.append((height, node))
        self.compare()

    def root(self):
        nodes = [node for _, node in reversed(self.peaks)] or [sha256().digest()]
        return reduce(lambda right, left: sha256(b"\1" + left + right).digest(), nodes)

    def compare(self):
        """What was signed at the present size."""
        while self.next and self.next.size == self.size:
            head, before = self.next, self.head
            require(head.root == b64(self.root()), "checkpoint_root", head.where, "another root was signed")
            require(head.epoch == self.epoch, "checkpoint_epoch", head.where, f"the log had announced {self.epoch}")
            silent = self.epochs and before and head.time - before.time > 120 * SECOND and self.broken <= before.size
            require(not silent, "idle", head.where, "no head for over 120 s, and no record says why", INCOMPLETE)
            self.head, self.next = head, next(self.heads, None)
        while self.claims and self.claims[-1].size == self.size:
            claim = self.claims.pop()
            require(claim.root == b64(self.root()), claim.code, claim.where, "another root was signed", ROLLBACK)
            self.kept = self.size if claim.code == "given_head" else self.kept

    def linked(self, record, where):
        """Version, name, number, link and clocks."""
        require(type(record.get("v")) is int and record["v"] == 1, "version", where, "expected version 1")
        require(record.get("origin") == self.name, "origin", where, "another log's record")
        texts = [record.get(key) for key in ("prev", "boot", "type", "ts", "mono")]
        good = type(record.get("seq")) is int and all(isinstance(text, str) for text in texts)
        good = good and all(re.fullmatch(N, text) for text in texts[3:])
        require(good, "fields", where, "seq, prev, ts, mono, boot or type is missing or of another kind")
        prev, boot, kind, ts, mono = *texts[:3], *map(int, texts[3:])
        require(record["seq"] == self.size, "sequence", where, f"expected record {self.size}")
        require(prev == b64(self.leaf), "link", where, "`prev` is not the hash of the record before")
        was_ts, was_mono, was_boot = self.before or (ts, mono, boot)
        in_order = (ts >= was_ts or kind == STEP) and (mono >= was_mono or boot != was_boot)
        require(in_order, "time", where, "ts went back without a clock.step record, or mono within one boot")
        self.before = ts, mono, boot

    def told(self, record, where, number):
        """Exchanges end once, and before the next start; decisions cite loaded policies; epochs are announced."""
        kind, request = record["type"], record.get("req")
        policy, key, anchor = (
            sub if isinstance(sub := record.get(name), dict) else {} for name in ("policy", "key", "anchor")
        )
        if kind in (ADMIT, PROGRESS, *ENDS):
            fits = request not in self.open if kind == ADMIT else kind == REFUSE or request in self.open
            require(isinstance(request, str) and fits, "pairing", where, "no id, admitted twice, or not open")
            self.open[request] = self.size
            kind in ENDS and self.open.pop(request)
        if kind in (START, STEP, "audit.fail"):
            self.broken, self.clock_set = self.size + 1, self.clock_set or kind == STEP
        if kind == START:
            require(not self.open, "pairing", where, "an exchange before this start has no end")
            self.loaded.clear()
        digest = policy.get("compiled_digest")
        if isinstance(digest, str) and kind.startswith("policy.") and kind != "policy.reject":
            self.loaded.add(digest)
        elif isinstance(digest, str) and kind.startswith(("request.", "response.", "moderation.")):
            require(digest in self.loaded, "policy", where, "a policy that no record since the last start loaded")
        if kind == "key.epoch" and self.epochs:
            [*named] = (k for k in self.keys if (k.epoch, k.id.hex()) == (key.get("epoch"), key.get("id")))
            require(named and named[0].epoch > self.epoch, "epoch", where, "not a later epoch that is certified")
            in_time = named[0].covers(record["ts"])
            require(number <= 2 and (in_time or self.clock_set), "epoch", where, "not at its time, or inside a segment")
            self.epoch, self.clock_set = named[0].epoch, self.clock_set and not in_time
        if kind == "checkpoint.anchor":
            good = tuple(map(anchor.get, ("name", "kind", "size"))) in self.anchors
            require(good, "anchor_missing", where, "no such line in anchors.log", INCOMPLETE)


def covered(record):
    """Whether all was scanned or exempted by a rule, or nothing passed."""
    coverage, decision = record.get("coverage"), record.get("decision")
    if coverage is None or record["type"] == REFUSE or not isinstance(coverage, dict):
        return coverage is None or record["type"] == REFUSE
    units = [
        [coverage.get(unit + part, 0 if part == "_exempt" else None) for part in ("", "_scanned", "_exempt")]
        for unit in ("parts", "bytes")
    ]
    whole = all(type(n) is int and n >= 0 for unit in units for n in unit) and all(a == b + c for a, b, c in units)
    return (whole and not coverage.get("uncovered")) or (
        isinstance(decision, dict) and decision.get("action") == "block"
    )


def verify(directory, vkey, *kept):
    """What was found, as it is printed."""
    log = Log(Path(directory))
    try:
        with sound("trust", str(vkey), USAGE):
            key = Key(Path(vkey).read_text())
        log.verify(key, kept)
        proved = (
            f"records 0 to {log.size - 1} are whole and unaltered; those from {log.head.size} on are not signed yet; "
        )
        proved += (
            f"from {log.kept} on (see the heads you brought) this rests on the log's own keys: whoever held them and "
        )
        proved += "the disk could have replaced it" + (log.adopts or "").replace("\nadopts", "; before it came the log")
        found = {"exit": HELD, "proved": proved, "signed": log.head.size, "root": b64(log.root()), "open": [*log.open]}
    except Failed as exc:
        found = dict(zip(("exit", "code", "where", "problem"), exc.args, strict=True))
    except OSError as exc:
        found = {"exit": USAGE, "code": "unreadable", "where": str(directory), "problem": type(exc).__name__}
    return found | {"records": log.size}


if __name__ == "__main__":
    found = verify(*sys.argv[1:]) if len(sys.argv) > 2 else {"exit": USAGE, "problem": __doc__}
    print(json.dumps(found, indent=1))
    sys.exit(found["exit"])
