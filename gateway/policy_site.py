"""What a configuration says of the gateway that a policy is for, as far as checks of policies want to know it.

Read apart from the rest of the file, as the guards are: on an author's machine the keys and directories that a
configuration names are not there. What of it cannot be read is not known, and then nothing is said of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.content.settings import read_classes
from gateway.engine_settings import read_engines
from gateway.guard_settings import Guards, guards_in
from gateway.operators import read_operators
from gateway.queues import Queues
from gateway.surroundings import nowhere
from policies.errors import Problems
from policies.fields import Section
from policies.site import Site
from policies.yaml_strict import Node, Table, parse

_NS = 10**9


def site_of(config: Path | None, clock: Callable[[], float] = time.time) -> Site:
    """The gateway; of one without a configuration only the day is known. Raises FileErrors or OSError."""
    at = int(clock())
    if config is None:
        return Site(at)
    problems = Problems()
    top = parse(config.read_bytes(), str(config), problems)
    return Site(
        at,
        people=_people(_value(top, "operators")),
        classes=_classes(_value(top, "content")),
        nowhere=_nowhere(top, config),
        remote=_remote(guards_in(config)),
    )


def _people(node: Node | None) -> Callable[[str], int] | None:
    problems = Problems()
    queues = Queues(entry.operator for entry in read_operators(node, problems))
    return None if node is None or len(problems) else lambda queue: len(queues.members(queue))


def _nowhere(top: Node | None, config: Path) -> Callable[[str, str], str] | None:
    """Not known where an engine cannot be read: it might be the one."""
    problems, several = Problems(), _value(top, "engines")
    keys = [entry.key for entry in top.entries] if isinstance(top, Table) else []
    section = Section.open(top, "the configuration", problems, keys) if top is not None else None
    engines = read_engines(section, config.parent, problems) if section else ()
    whole = len(several.entries) if isinstance(several, Table) else 1
    return None if len(engines) != whole else lambda model, engine: nowhere(engines, model, engine)


def _classes(node: Node | None) -> Mapping[str, int]:
    classes, problems = _value(node, "classes"), Problems()
    return {name: ns // _NS for name, ns in read_classes(classes, problems).items()} if classes else {}


def _remote(guards: Guards) -> frozenset[str]:
    return frozenset(use for use, guard in guards.items() if not guard.is_local)


def _value(node: Node | None, key: str) -> Node | None:
    entries = node.entries if isinstance(node, Table) else ()
    return next((entry.value for entry in entries if entry.key == key), None)
