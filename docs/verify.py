"""Verifies a Gatehouse audit log without Gatehouse: one file, Python 3.11 or later, and the package `cryptography`.
Compressed segments have to be unpacked first, in a copy: zstd -d LOG-DIRECTORY/seg/*.zst

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
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HELD, ALTERED, ROLLBACK, INCOMPLETE, USAGE = 0, 2, 3, 4, 5
LINE, SAFE, SECOND, UNITS = 32768, 2**53 - 1, 10**9, ("parts", "bytes")
N, B64, NAME = "(0|[1-9][0-9]{0,19})", "([A-Za-z0-9+/]+=*)", "([A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*)"
LOG = rf"gatehouse-audit-log/v(1|2)\n{NAME}\ncreated {N}\nhash sha256\nkey (\S+)(\nadopts {NAME} {N} {B64})?"
EPOCH = rf"gatehouse-audit-epoch/v1\n{NAME}\nepoch {N}\nfrom {N}\nuntil {N}\nkey (\S+)"
SEAL = rf"gatehouse-audit-seal/v1\n{NAME}\nfirst {N}\nlast {N}\nroot {B64}\nbytes {N}\nsha256 {B64}\ntime {N}"
HEAD = rf"{NAME}\n{N}\n{B64}\ntime {N}"
ADMIT, PROGRESS, REFUSE = "request.admit", "response.progress", "request.refuse"
ENDS, START, STEP = ("response.complete", "response.abort", "response.orphan", REFUSE), "gateway.start", "clock.step"
UNSOUND = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError, MemoryError, InvalidSignature)
Signed = namedtuple("Signed", "size root said time epoch code where")


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

    def __init__(self, vkey, epoch=-1, begin=0, end=2**64):
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
    said = [int(text) if text.isdigit() else text for text in said]
    return Signed(*said[:2], said, int(time), key.epoch, code, where)


def parse(line):
    """The object of a line in canonical form; numbers that are no integers of 53 bits are read as texts: no match."""
    safe = lambda n: int(n) if len(n) < 18 and abs(int(n)) <= SAFE else n  # noqa: E731
    record = json.loads(line, parse_float=str, parse_constant=str, parse_int=safe)
    again = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not isinstance(record, dict) or len(line) > LINE or again.encode() != line:
        raise ValueError("not an object in canonical form")
    return record


class Log:
    """One walk over the records, in order. Of the tree (RFC 6962) only the roots of full subtrees are kept."""

    def __init__(self, directory):
        self.directory, self.size, self.peaks, self.leaf, self.before = directory, 0, [], bytes(32), None
        self.open, self.loaded, self.anchors, self.head, self.seen = {}, set(), set(), None, False
        # Size after the last record that explains a silence; whether the clock was set: heads do not follow it back.
        self.broken, self.clock_set, self.epoch = 0, False, -1

    def read(self, name):
        return path.read_bytes() if (path := self.directory / name).exists() else None

    def verify(self, log_key, kept):
        history, newest, anchors = map(self.read, ("checkpoints.log", "checkpoint", "anchors.log"))
        self.begin(self.read("LOG"), log_key)  # after the heads: the log may be growing
        claims = [signed(Path(path).read_bytes(), self.keys, HEAD, "given_head", str(path), ROLLBACK) for path in kept]
        self.kept = max((claim.size for claim in claims), default=0)
        for number, line in enumerate((anchors or b"").split(b"\n")[:-1], 1):
            with sound("anchor", f"anchors.log:{number}"):
                entry = parse(line)
                note, said, _ = entry["proof"]["note"].encode(), [entry["size"], entry["root"]], int(entry["ts"])
                self.anchors.add(json.dumps([entry["name"], entry["kind"], entry["size"]]))
            claims.append(signed(note, self.keys, HEAD, "anchor", f"anchors.log:{number}"))
            require(claims[-1].said == said, "anchor", claims[-1].where, "not the size or root of the head in `proof`")
        self.claims = sorted(claims, key=lambda claim: claim.size, reverse=True)
        newest is None or signed(newest, self.keys, HEAD, "checkpoint", "checkpoint")
        self.heads = self.history(history or b"", newest)
        self.next = next(self.heads, None)
        self.compare()
        paths = sorted(self.directory.glob("seg/" + "[0-9]" * 16 + ".jsonl"))
        for path in self.directory.glob("seg/*.zst"):
            require(path.with_suffix("").exists(), "packed", path.name, "unpack it first, in a copy: zstd -d", USAGE)
        for before, path, after in zip([None, *paths], paths, [*paths[1:], None], strict=False):
            self.segment(before and int(before.name[:16]), path, after)
        told = f"more than the {self.size} records were signed"
        require(not self.next, "rollback", "checkpoints.log", told, ROLLBACK)
        require(self.head, "checkpoint_missing", "checkpoints.log", "no signed head", INCOMPLETE)
        status = INCOMPLETE if newest is None else ALTERED
        require(self.seen, "checkpoint", "checkpoint", "not there, or none of the notes in checkpoints.log", status)
        for claim in self.claims[-1:]:
            raise Failed(ROLLBACK, claim.code, claim.where, told)

    def begin(self, note, log_key):
        """The log is that of the key, and a chain of certificates leads from there to the keys that sign."""
        require(note is not None, "log_note", "LOG", "there is no such file", INCOMPLETE)
        require(f"\nkey {log_key.vkey}\n".encode() in note, "trust", "LOG", "not of this trust root", USAGE)
        with sound("log_note", "LOG"):
            (version, _, _, vkey, self.adopts, *_), _ = open_note(note, [log_key], LOG)
        require(vkey == log_key.vkey and not (self.adopts and version == "1"), "log_note", "LOG", "of another log")
        self.name, self.epoch, self.keys = log_key.name, int(version) - 2, [log_key] * (version == "1")
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

    def blamed(self, failed, last=0):
        """What nobody known has signed may be by the key of an announced epoch, whose certificate is gone."""
        unsigned = self.epoch >= 0 and failed.args[:2] in [(ALTERED, code) for code in ("anchor", "checkpoint", "seal")]
        for path in self.directory.glob("seg/*.jsonl") if unsigned else ():
            with suppress(*UNSOUND), path.open("rb") as file:
                records = [json.loads(file.readline(LINE + 2)) for _ in range(2)]
                last = max([last, *(record["key"]["epoch"] for record in records if record["type"] == "key.epoch")])
        gone = unsigned and last >= len(self.keys)
        return Failed(INCOMPLETE, "epoch_missing", f"keys/{last:08}.vkey", "no certificate of it") if gone else failed

    def history(self, data, newest):
        """Every signed head of checkpoints.log, in order; text, an empty line, signatures, an empty line."""
        old, start, number = None, 0, 1
        while (middle := data.find(b"\n\n", start)) >= 0 and (end := data.find(b"\n\n", middle + 1)) >= 0:
            note, start = data[start : end + 1], end + 2
            new = signed(note, self.keys, HEAD, "checkpoint", f"checkpoints.log, note {number}")
            old, self.seen, number = old or new, self.seen or note == newest, number + 1
            require(new.size >= old.size, "checkpoint_order", new.where, "the log became shorter", ROLLBACK)
            require(new.time >= old.time and new.epoch >= old.epoch, "checkpoint_order", new.where, "time went back")
            yield (old := new)

    def segment(self, previous, path, following):
        where, first, end = f"seg/{path.name}", int(path.name[:16]), None
        code, status = ("segment_missing", INCOMPLETE) if first > self.size else ("segment_name", ALTERED)
        require(first == self.size, code, where, f"expected a segment that starts with record {self.size}", status)
        seal = self.read(f"seg/{first:016}.seal")
        with suppress(ValueError, KeyError, TypeError, RecursionError), (following or path).open("rb") as file:
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
        if self.epoch >= 0 and offset:
            require(seal is not None or not following, "seal_missing", where, "no seal of a closed segment", INCOMPLETE)
            held = [first, self.size - 1, self.root(), offset, b64encode(digest.digest()).decode()]
            said = held if seal is None else signed(seal, self.keys, SEAL, "seal", where).said
            require(said == held, "seal", where, "the seal is of something else")

    def line(self, line, where, number, previous):
        with sound("form", where):
            record = parse(line)
        for holds, code, problem, *status in self.rules(record, number, previous):
            require(holds, code, where, problem, *status)
        self.leaf = node = sha256(b"\0" + line).digest()
        height, self.size = 0, self.size + 1
        while self.peaks and self.peaks[-1][0] == height:
            node, height = sha256(b"\1" + self.peaks.pop()[1] + node).digest(), height + 1
        self.peaks.append((height, node))
        self.compare()

    def root(self):
        nodes = [node for _, node in reversed(self.peaks)] or [sha256().digest()]
        return b64encode(reduce(lambda right, left: sha256(b"\1" + left + right).digest(), nodes)).decode()

    def compare(self):
        while self.next and self.next.size == self.size:
            head, before = self.next, self.head
            require(head.root == self.root(), "checkpoint_root", head.where, "another root was signed")
            require(head.epoch == self.epoch, "checkpoint_epoch", head.where, f"the log had announced {self.epoch}")
            gap = head.time - before.time if before and self.epoch >= 0 else 0
            require(gap <= 120 * SECOND or self.broken > before.size, "idle", head.where, "unexplained", INCOMPLETE)
            self.head, self.next = head, next(self.heads, None)
        while self.claims and self.claims[-1].size == self.size:
            claim = self.claims.pop()
            require(claim.root == self.root(), claim.code, claim.where, "another root was signed", ROLLBACK)

    def rules(self, record, number, previous):
        """Everything that has to hold of one record, in order. `number`: its line; `previous`: the segment before."""
        yield type(record.get("v")) is int and record["v"] == 1, "version", "expected version 1"
        yield record.get("origin") == self.name, "origin", "another log's record"
        texts = [record.get(name) for name in ("prev", "boot", "type", "ts", "mono")]
        good = type(record.get("seq")) is int and all(isinstance(text, str) for text in texts)
        good = good and all(re.fullmatch(N, text) for text in texts[3:])
        yield good, "fields", "seq, prev, ts, mono, boot or type is missing or of another kind"
        prev, boot, kind, ts, mono = *texts[:3], *map(int, texts[3:])
        yield record["seq"] == self.size, "sequence", f"expected record {self.size}"
        yield prev == b64encode(self.leaf).decode(), "link", "`prev` is not the hash of the record before"
        was_ts, was_mono, was_boot = self.before or (ts, mono, boot)
        good = (ts >= was_ts or kind == STEP) and (mono >= was_mono or boot != was_boot)
        yield good, "time", "ts went back without a clock.step record, or mono within one boot"
        self.before = ts, mono, boot
        names = ("coverage", "decision", "policy", "key", "anchor", "continues")
        coverage, decision, policy, key, anchor, claim = (v if type(v := record.get(n)) is dict else {} for n in names)
        good = "continues" not in record or (number == 1 and claim.get("first", -1) == previous)
        yield good, "continues", "`continues` does not name the segment before, or is not in the first record"
        if record.get("coverage") is not None and kind != REFUSE:  # what was not scanned or exempt must not have passed
            units = [[coverage.get(u), coverage.get(f"{u}_scanned"), coverage.get(f"{u}_exempt", 0)] for u in UNITS]
            whole = all(type(n) is int and n >= 0 for unit in units for n in unit) and not coverage.get("uncovered")
            whole = whole and all(total == scanned + exempt for total, scanned, exempt in units)
            blocked = coverage is record["coverage"] and decision.get("action") == "block"
            yield whole or blocked, "coverage", "a part that was not scanned was let through"
        if kind in (ADMIT, PROGRESS, *ENDS):  # exchanges end once, and before the next start
            request = record.get("req")
            good = isinstance(request, str) and (kind == REFUSE or (kind == ADMIT) != (request in self.open))
            yield good, "pairing", "a request without id, admitted twice, or not open"
            self.open[request] = self.size
            kind in ENDS and self.open.pop(request)
        yield kind != START or not self.open, "pairing", "an exchange before this start has no end"
        if kind in (START, STEP, "audit.fail"):
            self.broken, self.clock_set = self.size + 1, self.clock_set or kind == STEP
            self.loaded = set() if kind == START else self.loaded
        digest = policy.get("compiled_digest")
        if isinstance(digest, str) and kind.startswith("policy.") and kind != "policy.reject":
            self.loaded.add(digest)
        elif isinstance(digest, str) and kind.startswith(("request.", "response.", "moderation.")):
            yield digest in self.loaded, "policy", "a policy that no record since the last start loaded"
        if kind == "key.epoch" and self.epoch >= 0:
            said = json.dumps([key.get("epoch"), key.get("id")])
            [*later] = (k for k in self.keys if json.dumps([k.epoch, k.id.hex()]) == said and k.epoch > self.epoch)
            good = later and number <= 2 and (ts in later[0].times or self.clock_set)
            yield good, "epoch", "not a later epoch that is certified, or not where and when it may be"
            self.epoch, self.clock_set = later[0].epoch, self.clock_set and ts not in later[0].times
        if kind == "checkpoint.anchor":
            good = json.dumps([anchor.get(name) for name in ("name", "kind", "size")]) in self.anchors
            yield good, "anchor_missing", "no such line in anchors.log", INCOMPLETE


def verify(directory, vkey, *kept):
    log = Log(Path(directory))
    try:
        with sound("unreadable", str(directory), USAGE):
            log.verify(Key(Path(vkey).read_text()), kept)
        proved = f"records 0 to {log.size - 1} are whole, from {log.head.size} on not signed yet; from {log.kept} on "
        proved += "this rests on the log's own keys: whoever held them and the disk could have replaced it"
        proved += (log.adopts or "").replace("\nadopts", "; before it came the log")
        found = {"exit": HELD, "proved": proved, "signed": log.head.size, "root": log.root(), "open": [*log.open]}
    except Failed as exc:
        found = dict(zip(("exit", "code", "where", "problem"), log.blamed(exc).args, strict=True))
    return found | {"records": log.size}


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(print(__doc__, file=sys.stderr) or USAGE)
    print(json.dumps(found := verify(*sys.argv[1:]), indent=1))
    sys.exit(found["exit"])
