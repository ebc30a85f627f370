"""`defaults.audit` of a policy: whether the text of exchanges is kept, sealed, and for how long.

The policy names a retention class; how long that is, and whether there is a place to keep text at all, is said by the
configuration, and a policy that asks for what is not there does not come into force. Without the key no text is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from policies.fields import Section, choice, matching

CONTENT: Final = ("none", "sealed")
CLASS_NAME: Final = r"[a-z][a-z0-9-]{0,39}"
LATER_AUDIT: Final = ("ack", "progress")
_class = matching(CLASS_NAME, "a retention class of the configuration: small letters, digits and `-`")


@dataclass(frozen=True, slots=True)
class Keeping:
    """What of an exchange outlives it, besides its records."""

    content: str = "none"
    retention: str = ""
    """The class; empty when nothing is kept."""

    @property
    def keeps(self) -> bool:
        return self.content == "sealed"


def read_keeping(defaults: Section) -> Keeping:
    """The key `audit` of `defaults`."""
    node, problems = defaults.node("audit"), defaults.problems
    section = Section.open(node, "`audit`", problems, ("content", "retention"), LATER_AUDIT) if node else None
    if section is None:
        return Keeping()
    content = section.require("content", choice(CONTENT), "none")
    if content == "none":
        if "retention" in section:
            problems.add(section.place_of("retention"), "`retention` has no meaning when the content is `none`")
        return Keeping()
    return Keeping(content, section.get("retention", _class, "default"))
