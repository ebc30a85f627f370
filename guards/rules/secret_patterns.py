"""What credentials look like, and the checks that tell them from text that only looks so.

Two patterns: credentials with a shape of their own, and values that only their name gives away (`password = "…"`).
Each alternative is one RE2 group, so one pass finds all of them. Shapes follow what the issuers document; a check
that is not documented (such as the checksum inside GitHub tokens) is left out rather than guessed.
"""

from __future__ import annotations

import base64
import binascii
import json
import re

from guards.rules.base import compile_re2

_GAP = r"(?:\s|\\+[rn])"
"""White space of a PEM block, also when the block is inside a JSON string."""

SHAPES = {
    "private_key": (
        r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        rf"{_GAP}*(?:[A-Za-z-]{{1,32}}: [^\n\\]{{0,100}}{_GAP}+){{0,4}}"
        rf"[A-Za-z0-9+/=]{{32,}}(?:{_GAP}+[A-Za-z0-9+/=]{{16,}})*(?:{_GAP}+[A-Za-z0-9+/=]+)?(?:{_GAP}+=[A-Za-z0-9+/]{{4}})?"
        rf"(?:{_GAP}*-----END (?:[A-Z0-9]{{1,16}} ){{0,3}}PRIVATE KEY(?: BLOCK)?-----)?"
        rf"|\bPrivate-Lines: [0-9]{{1,4}}{_GAP}+[A-Za-z0-9+/=]{{32,}}(?:{_GAP}+[A-Za-z0-9+/=]{{16,}})*"
        r"|\bAGE-SECRET-KEY-1[A-Z0-9]{58}\b"
    ),
    "jwt": r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{2,}(?:\.[A-Za-z0-9_-]*){1,3}",
    "aws_key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b|\bABSK[A-Za-z0-9+/]{100,300}={0,2}",
    "gcp_key": r"\bAIza[0-9A-Za-z_-]{35}\b|\bGOCSPX-[0-9A-Za-z_-]{28}|\bya29\.[0-9A-Za-z_-]{24,}"
    r"|\bAQ\.[0-9A-Za-z_-]{40,}",
    "azure_key": r"\bAccountKey=[A-Za-z0-9+/]{86}==|\b[A-Za-z0-9_][A-Za-z0-9_~.-]{2}[0-9]Q~[A-Za-z0-9_~.-]{31,34}"
    r"|\bSharedAccessKey=[A-Za-z0-9+/]{43}=|[?&]sig=[A-Za-z0-9+/%]{43,80}(?:=|%3[dD])|\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\b",
    "github_token": r"\bgh[oprsu]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{36,}",
    "gitlab_token": r"\bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct)-[A-Za-z0-9_.-]{20,}",
    "slack_token": r"\bxox[abceoprs]-[A-Za-z0-9-]{16,}|\bxapp-[A-Za-z0-9-]{16,}"
    r"|hooks\.slack\.com/services/T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{20,}",
    "stripe_key": r"\b(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,}|\bwhsec_[0-9A-Za-z+/]{24,}",
    "anthropic_key": r"\bsk-ant-[a-z]{2,8}[0-9]{2}-[A-Za-z0-9_-]{20,}",
    "openai_key": r"\bsk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}|\bsk-[A-Za-z0-9]{40,64}\b",
    "huggingface_token": r"\b(?:hf|api_org)_[A-Za-z0-9]{34}\b",
    "package_token": r"\bnpm_[A-Za-z0-9]{36}\b|\bpypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{40,}"
    r"|\bcio[A-Za-z0-9]{32}\b|\brubygems_[0-9a-f]{48}\b|\bdckr_[op]at_[A-Za-z0-9_-]{27,}",
    "sendgrid_key": r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
    "service_token": r"\bgsk_[A-Za-z0-9]{52}\b|\bxai-[A-Za-z0-9]{80}\b|\br8_[A-Za-z0-9]{37}\b|\bsk-or-v1-[0-9a-f]{64}\b"
    r"|\bpplx-[A-Za-z0-9]{48}\b|\bdapi[0-9a-f]{32}\b|\bSK[0-9a-f]{32}\b|\bkey-[0-9a-f]{32}\b|\blin_api_[A-Za-z0-9]{40}\b"
    r"|\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}|\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}"
    r"|\bntn_[A-Za-z0-9]{40,}|\bfigd_[A-Za-z0-9_-]{40,}|\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b|\bEAAA[A-Za-z0-9_-]{56,}"
    r"|\bdo[opr]_v1_[0-9a-f]{64}\b|\bhv[bsr]\.[A-Za-z0-9_-]{24,}|\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}"
    r"|\bglsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}\b|\bNRAK-[A-Z0-9]{27}\b|\bsbp_[0-9a-f]{40}\b",
}
_NAME_END = r"""\\?["'\x60]?(?:\]|\\?["'])?\s{0,8}(?::=|=>|=|:)\s{0,8}"""
_VALUE = (
    r"""(?:\\?"([^"\s\\]{6,256})\\?"|'([^'\s]{6,256})'|\x60([^\x60\s]{6,256})\x60"""
    r"""|([^\s"'\x60<>(){}\[\],;&|\\]{6,256}))"""
)

NAMED = {
    "password_assignment": (
        r"(?i:pass(?:word|wd|phrase|code|wort)?|pwd|\bpw|contrase[nñ]a|mot de passe|secret"
        r"|secret[_-]?(?:access[_-]?)?key|api[_-]?key|token|(?:private|signing|encryption|master)[_-]?key)"
        + _NAME_END
        + _VALUE
        + r"|(?i:\bidentified by)\s{1,4}'([^'\s]{6,256})'"
        + r"|(?i:\bmysql[a-z]{0,10}|\bmariadb)\b[^\n]{0,80} -p([^\s=-][^\s=]{5,63})"
        + r"|(?i:(?:password|passwd|pwd|secret|token|api_?key)[\"']\s{1,4}value\s{0,2}=\s{0,2})"
        + r"[\"']([^\"'\s]{6,256})[\"']"
        + r"|(?i:\bpass[ _-]?phrase|\bseed[ _-]?phrase|\bmnemonic)\s{0,4}[:=]\s{0,4}[\"']([^\"'\n]{12,256})[\"']"
        + r"|(?i:\b(?:password|passwort|passcode|contrase[nñ]a|mot de passe) (?:is|ist|lautet|es|est))"
        + r" ([^\s\"'<>]{6,64})"
        + r"|(?i:\b(?:login|user|username|credentials)\b:?) [^\s/]{2,40} ?/ ?([^\s/]{8,64})"
    ),
    "bearer": (
        r"(?i:\bbearer)\s{1,4}([A-Za-z0-9._~+/-]{20,}=*)"
        r"|(?i:\bauthorization)[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?i:basic)\s{1,4}([A-Za-z0-9+/]{8,}=*)"
    ),
    "url_password": r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,128}:([^\s:/\"'<>]{3,256})@[A-Za-z0-9\[]",
}
GROUPS = {
    "cloud_key": ("aws_key", "gcp_key", "azure_key"),
    "api_key": (
        "github_token",
        "gitlab_token",
        "slack_token",
        "stripe_key",
        "anthropic_key",
        "openai_key",
        "huggingface_token",
        "package_token",
        "sendgrid_key",
        "service_token",
    ),
}
"""Names that stand for several labels in `find`."""
LABELS = (*SHAPES, *NAMED)

_PLACEHOLDER = compile_re2(
    r"(?i)^[<$%{]|^(?:\*+|\.+|-+|_+)$|^x{3}|x{6}|^(?:your|my[_-]|some[_-]|the[_-])"
    r"|example|placeholder|change[_-]?(?:me|it|this)|redacted|removed|dummy|insert|[_-]here|goes[_-]?here|hidden|masked"
    r"|^(?:password[0-9]{0,3}|passwd|secret|token|api_?key|string|str|text|bytes|integer|number|boolean|object)$"
    r"|^(?:required|optional|null|none|nil|true|false|undefined|todo)$"
    r"|^(?:self|os|env|process|config|settings|request|args|params)\."
)
_WEAK_NAME = re.compile(r"(?i)^(?:token|secret|pass)$|key$")
_SPOKEN_NAME = re.compile(r"(?i) (?:is|ist|lautet|es|est)$")
_ALGORITHM = re.compile(
    r"(?i)(?:sha|md|aes|rsa|utf|bcrypt|pbkdf|argon|base)-?[0-9]|[0-9]{1,4}[- ]?(?:bit|char|digit|letter)"
)
_SMALL, _CAPITAL = re.compile("[a-z]"), re.compile("[A-Z]")
_LETTER, _DIGIT, _SYMBOL = re.compile("[A-Za-z]"), re.compile("[0-9]"), re.compile(r"[!@#$%^&*+~?]")


def is_real_shape(label: str, value: str) -> bool:
    """Whether a match with a shape is a credential and not an example of one."""
    if label == "jwt":
        return _is_jose_header(value.split(".", 1)[0])
    if label == "private_key":
        return True
    body = value[4:]
    # Of 16 letters out of 32 every thirtieth key has no digit.
    is_drawn = label in ("aws_key", "huggingface_token") or _DIGIT.search(body) is not None
    is_drawn = is_drawn or (_SMALL.search(body) is not None and _CAPITAL.search(body) is not None)
    return "EXAMPLE" not in value.upper() and len(set(body)) >= 8 and is_drawn


def is_real_value(label: str, name: str, value: str, quoted: bool) -> bool:
    """Whether a named value is a secret: not a placeholder, not a reference, and as random as its name demands."""
    if _PLACEHOLDER.search(value) or len(set(value)) < 4:
        return False
    if label == "url_password":
        return True
    if not quoted and name.lower() in value.lower():  # `old_token=my_old_token2`: a variable, not a value
        return False
    if label == "bearer":
        return bool(_DIGIT.search(value) and _LETTER.search(value) and len(set(value)) >= 8) or _is_basic(value)
    if _SPOKEN_NAME.search(name):
        return bool(_DIGIT.search(value) and _LETTER.search(value)) and _ALGORITHM.match(value) is None
    if name.endswith("/"):
        return all(kind.search(value) for kind in (_LETTER, _DIGIT, _SYMBOL))
    if _WEAK_NAME.search(name):
        return len(value) >= 12 and len(set(value)) >= 8 and _is_mixed(value)
    return quoted or (_is_mixed(value) and "://" not in value)


def _is_mixed(value: str) -> bool:
    return bool(_LETTER.search(value) and (_DIGIT.search(value) or _SYMBOL.search(value)))


def _is_jose_header(segment: str) -> bool:
    if len(segment) > 4_096:  # a header holds an algorithm and a key id
        return False
    try:
        header = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, RecursionError):  # binascii.Error and both decoding errors are ValueErrors
        return False
    return isinstance(header, dict) and "alg" in header


def _is_basic(value: str) -> bool:
    """`user:password`, as HTTP basic authentication encodes it."""
    try:
        return b":" in base64.b64decode(value, validate=True)
    except binascii.Error:
        return False
