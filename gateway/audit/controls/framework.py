"""A framework's controls as data: what each asks, and which types of records speak to it.

The files are ours, and so are the words in them; they name the article so that anybody can compare. Nothing here says
that a control is met: that is for whoever is responsible, with an auditor. A file that does not fit this form is a bug.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import yaml

FRAMEWORKS: Final = ("hipaa", "pci", "eu-ai-act", "soc2", "nist-800-53")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Types of records that speak to a control, and what follows when there are none."""

    records: tuple[str, ...]
    says: str
    """What about them does."""
    without: str
    """What it means that there are none, or what to configure."""
    happens: bool = False
    """Whether these are written only if something happens, so that none is no gap."""
    each_day: bool = False
    """Whether there should be one on every day that has records."""


@dataclass(frozen=True, slots=True)
class Control:
    """One requirement."""

    id: str
    asks: str
    evidence: tuple[Evidence, ...]
    outside: str = ""
    """What of it no record can speak to."""


@dataclass(frozen=True, slots=True)
class Framework:
    """A regulation or standard."""

    name: str
    title: str
    source: str
    controls: tuple[Control, ...]


def load(name: str) -> Framework:
    """One of FRAMEWORKS."""
    text = resources.files(__package__).joinpath(f"{name}.yaml").read_text()
    data: dict[str, Any] = yaml.safe_load(text)
    return Framework(name, data["title"], data["source"], tuple(map(_control, data["controls"])))


def _control(data: dict[str, Any]) -> Control:
    evidence = tuple(Evidence(**{**item, "records": tuple(item["records"])}) for item in data["evidence"])
    return Control(**{**data, "evidence": evidence})
