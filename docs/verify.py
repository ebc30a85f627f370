"""Verifies a Gatehouse audit log without Gatehouse: one file, Python 3.11 or later, and the package `cryptography`.

    python verify.py LOG-DIRECTORY FILE.vkey [SIGNED-HEAD]...

Written from docs/audit-format.md alone, so that a mistake in Gatehouse's own verifier is not repeated here. Read it
before you trust it. FILE.vkey, the log's public key, and SIGNED-HEAD are copies that nobody who runs the gateway can
change. Unpack compressed segments first, in a copy: zstd -d LOG-DIRECTORY/seg/*.zst. No text of a record is printed.
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
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HELD, ALTERED, ROLLBACK, INCOMPLETE, USAGE = 0, 2, 3, 4, 5
LINE, SAFE, SECOND, NEVER, UNITS = 32768, range(1 - 2**53, 2**53), 10**9, 2**64, ("parts", "bytes")
N, B64, NAME = "(0|[1-9][0-9]{0,19})", "([A-Za-z0-9+/]+=*)", "([A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*)"
LOG = rf"gatehouse-audit-log/v(1|2)\n{NAME}\ncreated {N}\nhash sha256\nkey (\S+)(?:\nadopts ({NAME} {N} {B64}))?"
EPOCH = rf"gatehouse-audit-epoch/v1\n{NAME}\nepoch {N}\nfrom {N}\nuntil {N}\nkey (\S+)"
SEAL = rf"gatehouse-audit-seal/v1\n{NAME}\nfirst {N}\nlast {N}\nroot {B64}\nbytes {N}\nsha256 {B64}\ntime {N}"
HEAD = rf"{NAME}\n{N}\n{B64}\ntime {N}"
ADMIT, PROGRESS, REFUSE = "request.admit", "response.progress", "request.refuse"
ENDS, START, STEP = ("response.complete", "response.abort", "response.orphan", REFUSE), "gateway.start", "clock.step"
UNSOUND = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError, MemoryError, InvalidSignature)
Signed = namedtuple("Signed", "size root time said epoch code where")


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
    except UNSOUND as exc:
        raise Failed(status, code, where, f"malformed, or not signed as it must be: {type(exc).__name__}") from None


class Key:
    """`<name>+<id>+<base64 of the byte 1 and an Ed25519 key>`, and the time in which it may sign."""

    def __init__(self, vkey, epoch=-1, begin=0, end=NEVER):
        self.vkey, self.epoch, self.begin, self.end = vkey.strip(), epoch, begin, end
        self.times = range(begin - SECOND, end + 60 * SECOND + 1)
        self.name, _, blob = self.vkey.split("+", 2)
        raw = b64decode(blob, validate=True)
        self.id = sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        if raw[:1] != b"\1" or self.vkey != f"{self.name}+{self.id.hex()}+{b64encode(raw).decode()}":
            raise ValueError("not a verifier key of the Ed25519 kind, or base64 in another spelling")
        self.public = Ed25519PublicKey.from_public_bytes(raw[1:])


def open_note(note, keys, form, needed=1):
    """What stands in a note of that form, and the last key that signed it; lines of other keys are skipped."""
    text, _, lines = note.decode().rpartition("\n\n")
    found, signers = re.fullmatch(form, text), {}
    for line in lines.splitlines():
        dash, name, blob = line.split(" ")
        raw = b64decode(blob, validate=True) if name == keys[0].name else b""
        for key in (key for key in keys if key.id == raw[:4]):
            key.public.verify(raw[4:], (text + "\n").encode())
            signers[key.id] = key if b64encode(raw).decode() == blob and dash == "—" else None  # one canonical spelling
    good = found and keys[0].name in found.groups()[:2] and lines.endswith("\n") and None not in signers.values()
    if not good or len(signers) != needed:
        raise ValueError("of another form or log, or not signed by the key, or the keys, that it needs")
    return found.groups(), [*signers.values()][-1]


def signed(note, keys, form, code, where, status=ALTERED):
    """A note by the key of its time. `said`: all that stands between origin and time; a head says size and root."""
    with sound(code, where, status):
        (_, *said, time), key = open_note(note, keys, form)
    require(int(time) in key.times, code, where, "signed outside the time of its key", status)
    return Signed(int(said[0]), said[1], int(time), said, key.epoch, code, where)


def integer(digits):
    """One that fits 53 bits; another stays a text, which is written back in quotes: that is not the canonical form."""
    return int(digits) if int(digits) in SAFE else digits


def parse(line):
    """The object of a line in canonical form."""
    record = json.loads(line, parse_float=str, parse_constant=str, parse_int=integer)
    again = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not isinstance(record, dict) or len(line) > LINE or again.encode() != line:
        raise ValueError("not an object in canonical form")
    return record


class Log:
    """One walk over the records, in order. Of the tree (RFC 6962) only the roots of full subtrees are kept."""

    def __init__(self, directory):
        self.directory, self.size, self.peaks, self.leaf, self.before = Path(directory), 0, [], bytes(32), (0, 0, "")
        self.open, self.loaded, self.anchors, self.head, self.next = set(), set(), set(), None, None
        self.epoch, self.seen, self.clock_set, self.silent_since = -1, False, False, NEVER

    def read(self, name):
        return path.read_bytes() if (path := self.directory / name).exists() else None

    def verify(self, vkey, *kept):  # gives what is printed; kept: files with signed heads
        try:
            with sound("unreadable", str(self.directory), USAGE):
                self.walk(Key(Path(vkey).read_text()), kept)
        except Failed as exc:
            said = (*self.blamed(exc).args, self.size)
            return dict(zip(("exit", "code", "where", "problem", "records"), said, strict=True))
        proved = f"records 0 to {self.size - 1} are whole, those before {self.head.size} signed; from {self.kept} on "
        proved += "this rests on the log's own keys: whoever held them and the disk could have replaced it"
        found = {"exit": HELD, "proved": proved, "adopts": self.adopts, "open": sorted(self.open)}
        return found | {"records": self.size, "signed": self.head.size, "root": self.root()}

    def walk(self, log_key, kept):
        history, newest, anchors = map(self.read, ("checkpoints.log", "checkpoint", "anchors.log"))
        self.begin(self.read("LOG"), log_key)  # after the heads: the log may be growing
        claims = [signed(Path(path).read_bytes(), self.keys, HEAD, "given_head", str(path), ROLLBACK) for path in kept]
        self.kept = max([0, *(claim.size for claim in claims)])
        for number, line in enumerate((anchors or b"").split(b"\n")[:-1], 1):
            with sound("anchor", f"anchors.log:{number}"):
                entry = parse(line)
                note, said, _ = entry["proof"]["note"].encode(), [repr(entry["size"]), entry["root"]], int(entry["ts"])
                self.anchors.add(json.dumps([entry["name"], entry["kind"], entry["size"]]))
            claims.append(signed(note, self.keys, HEAD, "anchor", f"anchors.log:{number}"))
            require(claims[-1].said == said, "anchor", claims[-1].where, "not the size or root of the head in `proof`")
        self.claims = sorted(claims, key=lambda claim: claim.size, reverse=True)
        newest is None or signed(newest, self.keys, HEAD, "checkpoint", "checkpoint")
        self.heads = self.history(history or b"", newest)
        self.next = next(self.heads, None)
        self.compare()
        for path in self.directory.glob("seg/*.zst"):
            require(path.with_suffix("").exists(), "packed", path.name, "unpack it first, in a copy: zstd -d", USAGE)
        paths = sorted(self.directory.glob("seg/" + "[0-9]" * 16 + ".jsonl"))
        for before, path, following in zip([None, *paths], paths, [*paths[1:], None], strict=False):
            self.segment(before and int(before.name[:16]), path, following)
        require(not self.next, "rollback", "checkpoints.log", "more records were signed", ROLLBACK)
        require(self.head, "checkpoint_missing", "checkpoints.log", "no signed head", INCOMPLETE)
        require(self.seen, "checkpoint", "checkpoint", "not in checkpoints.log", ALTERED if newest else INCOMPLETE)
        self.compare(is_end=True)

    def begin(self, note, log_key):
        """The log is that of the key, and a chain of certificates leads from there to the keys that sign."""
        require(note is not None, "log_note", "LOG", "there is no such file", INCOMPLETE)
        require(f"\nkey {log_key.vkey}\n".encode() in note, "trust", "LOG", "not of this trust root", USAGE)
        with sound("log_note", "LOG"):
            (version, _, _, vkey, self.adopts, *_), _ = open_note(note, [log_key], LOG)
        require(vkey == log_key.vkey and not (self.adopts and version == "1"), "log_note", "LOG", "of another log")
        self.epoch, self.keys = int(version) - 2, [log_key] * (version == "1")
        for path in sorted(self.directory.glob("keys/" + "[0-9]" * 8 + ".vkey")) if version == "2" else ():
            number, where, last = len(self.keys), f"keys/{path.name}", self.keys[-1:]
            require(int(path.stem) == number, "epoch_missing", where, f"expected epoch {number}", INCOMPLETE)
            with sound("epoch_certificate", where):
                (origin, named, *times, vkey), _ = open_note(path.read_bytes(), [log_key, *last], EPOCH, 1 + len(last))
                key = Key(vkey, number, *map(int, times))
            good = origin == key.name and named == str(number) and key.begin < key.end
            good = good and key.id not in (log_key.id, *(k.id for k in self.keys))
            good = good and all(key.begin >= max(k.end - 60 * SECOND, k.begin) and key.end >= k.end for k in last)
            require(good, "epoch_certificate", where, "another epoch, a key that was, or a time that does not follow")
            self.keys.append(key)

    def blamed(self, failed):
        """What nobody known has signed may be by the key of an announced epoch, whose certificate is gone."""
        unsigned = self.epoch >= 0 and failed.args[:2] in [(ALTERED, code) for code in ("anchor", "checkpoint", "seal")]
        last = 0
        for path in self.directory.glob("seg/*.jsonl") if unsigned else ():
            with suppress(*UNSOUND), path.open("rb") as file:
                for record in map(json.loads, (file.readline(LINE + 2), file.readline(LINE + 2))):
                    last = max(last, record["key"]["epoch"] if record["type"] == "key.epoch" else 0)
        gone = unsigned and last >= len(self.keys)
        return Failed(INCOMPLETE, "epoch_missing", f"keys/{last:08}.vkey", "no certificate of it") if gone else failed

    def history(self, data, newest):
        """Every signed head of checkpoints.log, in order; text, an empty line, signatures, an empty line."""
        start, number = 0, 1
        while (middle := data.find(b"\n\n", start)) >= 0 and (end := data.find(b"\n\n", middle + 1)) >= 0:
            note, start = data[start : end + 1], end + 2
            new = signed(note, self.keys, HEAD, "checkpoint", f"checkpoints.log, note {number}")
            old, self.seen, number = self.next or new, self.seen or note == newest, number + 1
            require(new.size >= old.size, "checkpoint_order", new.where, "the log became shorter", ROLLBACK)
            require(new.time >= old.time and new.epoch >= old.epoch, "checkpoint_order", new.where, "time went back")
            yield new

    def segment(self, previous, path, following):
        where, first, end = f"seg/{path.name}", int(path.name[:16]), NEVER
        code, status = ("segment_missing", INCOMPLETE) if first > self.size else ("segment_name", ALTERED)
        require(first == self.size, code, where, f"expected a segment that starts with record {self.size}", status)
        seal = self.read(f"seg/{first:016}.seal")
        with suppress(ValueError, KeyError, TypeError, RecursionError), (following or path).open("rb") as file:
            claim = json.loads(file.readline(LINE + 2))["continues"]  # the record is checked when its turn comes
            end = int(claim["offset"]) if following and claim["first"] == first else NEVER
        number, offset, raw, digest = 0, 0, b"", sha256()
        with path.open("rb", buffering=1 << 20) as file:
            while offset < end and ((raw := file.readline(LINE + 2)).endswith(b"\n") or len(raw) > LINE + 1):
                number, offset = number + 1, offset + len(raw)
                digest.update(raw)
                self.check(raw[:-1], f"{where}:{number}", number, previous)
                self.grow(raw[:-1])
        require(end in (NEVER, offset), "continues", where, f"no line ends at byte {end}, as the next segment says")
        require(not raw or raw.endswith(b"\n") or not following, "torn", where, f"{len(raw)} bytes without a newline")
        if self.epoch >= 0 and offset:
            require(seal is not None or not following, "seal_missing", where, "no seal of a closed segment", INCOMPLETE)
            held = [str(first), str(self.size - 1), self.root(), str(offset), b64encode(digest.digest()).decode()]
            good = seal is None or signed(seal, self.keys, SEAL, "seal", where).said == held
            require(good, "seal", where, "the seal is of something else")

    def grow(self, line):
        self.leaf = node = sha256(b"\0" + line).digest()
        self.size += 1
        for _ in range((self.size & -self.size).bit_length() - 1):  # subtrees that are full with this record
            node = sha256(b"\1" + self.peaks.pop() + node).digest()
        self.peaks.append(node)
        self.compare()

    def root(self):
        nodes = self.peaks[::-1] or [sha256().digest()]
        return b64encode(reduce(lambda right, left: sha256(b"\1" + left + right).digest(), nodes)).decode()

    def compare(self, is_end=False):
        while (head := self.next) and head.size == self.size:
            require(head.root == self.root(), "checkpoint_root", head.where, "another root was signed")
            require(head.epoch == self.epoch, "checkpoint_epoch", head.where, f"the log had announced {self.epoch}")
            good = self.epoch < 0 or head.time - self.silent_since <= 120 * SECOND
            require(good, "idle", head.where, "unexplained silence before it", INCOMPLETE)
            self.head, self.next, self.silent_since = head, next(self.heads, None), head.time
        while self.claims and (is_end or self.claims[-1].size == self.size):
            claim, held = self.claims.pop(), (self.size, self.root())
            require(claim[:2] == held, claim.code, claim.where, "another root, or more, was signed", ROLLBACK)

    def check(self, line, where, number, previous):
        """Everything that has to hold of a record, in order. `number`: its line; `previous`: the segment before."""
        with sound("form", where):
            record = parse(line)
        require(type(record.get("v")) is int and record["v"] == 1, "version", where, "expected version 1")
        require(record.get("origin") == self.keys[0].name, "origin", where, "another log's record")
        seq, prev, boot, kind, ts, mono = map(record.get, ("seq", "prev", "boot", "type", "ts", "mono"))
        good = type(seq) is int and all(isinstance(text, str) for text in (prev, boot, kind, ts, mono))
        require(good and re.fullmatch(f"{N} {N}", f"{ts} {mono}"), "fields", where, "missing or of another kind")
        ts, mono = int(ts), int(mono)
        require(seq == self.size, "sequence", where, f"expected record {self.size}")
        require(prev == b64encode(self.leaf).decode(), "link", where, "`prev` is not the hash of the record before")
        (was_ts, was_mono, was_boot), self.before = self.before, (ts, mono, boot)
        require(ts >= was_ts or kind == STEP, "time", where, "ts went back without a clock.step record")
        require(mono >= was_mono or boot != was_boot, "time", where, "mono went back within one boot")
        names = ("coverage", "decision", "policy", "key", "anchor", "continues")
        coverage, decision, policy, key, anchor, claim = (v if type(v := record.get(n)) is dict else {} for n in names)
        good = "continues" not in record or (number == 1 and claim.get("first", -1) == previous)
        require(good, "continues", where, "`continues` does not name the segment before, or is not in the first record")
        if record.get("coverage") is not None and kind != REFUSE:  # what was not scanned or exempt must not have passed
            units = [[coverage.get(u), coverage.get(f"{u}_scanned"), coverage.get(f"{u}_exempt", 0)] for u in UNITS]
            whole = all(type(n) is int and n >= 0 for unit in units for n in unit) and not coverage.get("uncovered")
            whole = whole and all(total == scanned + exempt for total, scanned, exempt in units)
            blocked = coverage is record["coverage"] and decision.get("action") == "block"
            require(whole or blocked, "coverage", where, "a part that was not scanned was let through")
        if kind in (ADMIT, PROGRESS, *ENDS):  # exchanges end once, and before the next start
            request = record.get("req")
            good = isinstance(request, str) and (kind == REFUSE or (kind == ADMIT) != (request in self.open))
            require(good, "pairing", where, "a request without id, admitted twice, or not open")
            (self.open.discard if kind in ENDS else self.open.add)(request)
        require(kind != START or not self.open, "pairing", where, "an exchange before this start has no end")
        if kind in (START, STEP, "audit.fail"):  # says why no head was signed; heads do not follow a clock set back
            self.silent_since, self.clock_set = NEVER, self.clock_set or kind == STEP
            self.loaded = set() if kind == START else self.loaded
        digest = policy.get("compiled_digest")
        if isinstance(digest, str) and kind.startswith("policy.") and kind != "policy.reject":
            self.loaded.add(digest)
        elif isinstance(digest, str) and kind.startswith(("request.", "response.", "moderation.")):
            require(digest in self.loaded, "policy", where, "a policy that no record since the last start loaded")
        if kind == "key.epoch" and self.epoch >= 0:
            epoch, name = key.get("epoch"), key.get("id")
            good = number <= 2 and type(epoch) is int and self.epoch < epoch < len(self.keys)
            good = good and name == self.keys[epoch].id.hex() and (ts in self.keys[epoch].times or self.clock_set)
            require(good, "epoch", where, "not a later epoch that is certified, or not where and when it may be")
            self.epoch, self.clock_set = epoch, self.clock_set and ts not in self.keys[epoch].times
        if kind == "checkpoint.anchor":
            good = json.dumps([anchor.get(name) for name in ("name", "kind", "size")]) in self.anchors
            require(good, "anchor_missing", where, "no such line in anchors.log", INCOMPLETE)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(print(__doc__, file=sys.stderr) or USAGE)
    print(json.dumps(found := Log(sys.argv[1]).verify(*sys.argv[2:]), indent=1))
    sys.exit(found["exit"])
