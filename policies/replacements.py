"""What stands where something was redacted: the `as` of a rule with its placeholders filled in.

`{type}` (or `{label}`) is the span's label. `{first6}` and `{last4}` are letters and digits of what was found, so that
`4111 1111 1111 1111` and `4111111111111111` come out the same; where they would show all of it they show nothing.
`{token}` is left for whoever knows the tenant's key (gateway/tokens.py). What is filled in is never read again, and
holds nothing that could break JSON.
"""

from __future__ import annotations

import re
from typing import Final

PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
TOKEN_PLACE: Final = "{token}"  # noqa: S105  a placeholder, no secret
NAMES: Final = ("type", "label", "token")
_SHOWN: Final = re.compile(r"(first|last)([1-9][0-9]?)")


def is_placeholder(name: str) -> bool:
    """Whether `{name}` means something."""
    return name in NAMES or _SHOWN.fullmatch(name) is not None


def shown(template: str) -> int:
    """How many characters of what is found the template shows."""
    counts = (_SHOWN.fullmatch(name) for name in PLACEHOLDER.findall(template))
    return sum(int(found[2]) for found in counts if found)


def filled(template: str, label: str, found: str) -> str:
    """The template for one span."""
    if "{" not in template:
        return template
    letters = [char for char in found if char.isalnum()]
    hidden = len(letters) <= shown(template)

    def value(match: re.Match[str]) -> str:
        name = match[1]
        part = _SHOWN.fullmatch(name)
        if part is None:
            return TOKEN_PLACE if name == "token" else label
        if hidden:
            return ""
        count = int(part[2])
        return "".join(letters[:count] if part[1] == "first" else letters[-count:])

    return PLACEHOLDER.sub(value, template)
