"""What can be wrong with a bundle. The message is for operators and names no text of the policy."""

from __future__ import annotations


class BundleError(Exception):
    """The bundle is not put in force; whatever was in force stays. `code` is stable.

    bundle_malformed    not a bundle, cut short, or its files are not those that were signed
    bundle_unsigned     too few approvers signed it for what it changes
    bundle_expired      its time is over
    bundle_elsewhere    it was signed for another gateway, or for other callers
    bundle_older        its counter is not above that of a bundle that was in force
    bundle_invalid      the policy in it does not load here
    bundle_tests        a test in its policy fails
    bundle_eval         a rule finds less, or more that it should not, than its policy says; or a corpus cannot be used
    bundle_unknown      no bundle of this digest was ever in force here
    trial_running       it was to be tried, and another one is
    trial_pointless     it was to be tried, and is in force, or would decide for nobody
    """

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code
