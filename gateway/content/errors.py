"""What can be wrong with sealed content, and who has to act on it.

    ContentError        the store cannot be opened; the process refuses to start, `.code` says why
    ContentUnavailable  text could not be made durable; what it would have permitted must not happen
    ContentMissing      a blob cannot be read: erased, gone, altered, or never there; `.code` says which
    HoldsForbid         a legal hold covers what was to be erased; nothing was
    ApprovalSpent       what two people signed stood behind another deed already; nothing was done

Codes of ContentError: content_key_missing, content_key_unsafe, content_key_wrong, content_unwritable, content_keystore.
Codes of ContentMissing: content_not_found, content_erased, content_lost, content_altered.
No message carries text of a prompt or an answer, or the name of a person.
"""

from __future__ import annotations

from collections.abc import Sequence


class ContentError(Exception):
    """The store was not opened."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code, self.problem = code, problem


class ContentUnavailable(Exception):
    """The text is not on disk, or nobody knows whether it is."""


class ContentMissing(Exception):
    """There is no text to show for this reference."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code, self.problem = code, problem


class ApprovalSpent(Exception):
    """The number of the approved statement was used before."""

    def __init__(self) -> None:
        super().__init__("the approved statement was used before: each stands behind one deed")


class HoldsForbid(Exception):
    """What was to be erased is under legal hold."""

    def __init__(self, holds: Sequence[str]) -> None:
        super().__init__(f"{len(holds)} legal holds cover it")
        self.holds = tuple(holds)
