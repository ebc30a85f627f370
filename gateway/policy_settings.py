"""`policy` of the configuration: a file that is believed, or a bundle that approvers signed; watched or not."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.approval import Approvers
from gateway.bundles.admission import Approval
from gateway.bundles.store import BundleStore
from gateway.policy_source import BundleSource, FileSource, PolicySource
from policies import fields
from policies.errors import Place, Problems
from policies.fields import Section
from policies.yaml_strict import Table

BUNDLES = "bundles"
"""Below the state directory."""
_MOST_APPROVALS = 10


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Where the policy comes from."""

    path: Path
    is_bundle: bool = False
    approvals: int = 1
    approvals_to_weaken: int = 2
    watch: bool = True
    """Whether a change of the file is a reload."""

    def source(
        self, approvers: Approvers, state: Path, tested: Container[str] = (), origin: str = "", binding: str = ""
    ) -> PolicySource:
        """What finds the policy. The others matter to bundles only; see Approval, and for `tested` BundleSource."""
        if not self.is_bundle:
            return FileSource(self.path)
        approval = Approval(tuple(approvers.values()), self.approvals, self.approvals_to_weaken, origin, binding)
        return BundleSource(self.path, BundleStore(state / BUNDLES), approval, tested=tested)


def read_policy(top: Section, folder: Path, approvers: Mapping[str, object]) -> PolicySettings:
    """`policy: FILE`, `policy: {file: FILE, watch: false}` or `policy: {bundle: FILE, approvals: 2}`."""
    node = top.node("policy")
    if not isinstance(node, Table):
        name = top.require("policy", fields.text, "")
        return PolicySettings(_existing(name, top.place_of("policy"), folder, top.problems))
    known = ("file", "watch") if any(entry.key == "file" for entry in node.entries) else _OF_BUNDLE
    section = Section.open(node, "`policy`", top.problems, known)
    if section is None:
        return PolicySettings(folder)
    if "file" in section:
        name = section.require("file", fields.text, "")
        path = _existing(name, section.place_of("file"), folder, top.problems)
        return PolicySettings(path, watch=section.get("watch", fields.boolean, True))
    return _bundle(section, folder, len(approvers))


_OF_BUNDLE = ("bundle", "approvals", "approvals_to_weaken", "watch")


def _bundle(section: Section, folder: Path, approvers: int) -> PolicySettings:
    """A bundle file may be away: the last good one is in the state directory."""
    path = folder / section.require("bundle", fields.text, "")
    several = fields.integer(1, _MOST_APPROVALS)
    needed = section.get("approvals", several, 1)
    weaker = section.get("approvals_to_weaken", several, max(2, needed))
    if weaker < needed:
        told = f"`approvals_to_weaken` is {weaker}, less than `approvals`, {needed}"
        section.problems.add(section.place_of("approvals_to_weaken"), told)
    elif weaker > approvers:
        told = f"a policy may need {weaker} approvals, and `approvers` lists {approvers} people"
        section.problems.add(section.place, told, "gatehouse approver-key")
    return PolicySettings(
        path.absolute(), True, needed, max(weaker, needed), section.get("watch", fields.boolean, True)
    )


def _existing(name: str, place: Place, folder: Path, problems: Problems) -> Path:
    path = (folder / name).resolve()
    if name and not path.is_file():
        problems.add(place, "`policy` names a file that is not there")
    return path
