"""Which categories a guard is asked about, and the block of the prompt that says so.

The block of the rendered prompt is rewritten, which works for every template: some take a list to exclude, some have
their categories written in. Codes keep their numbers. What is left out is left out of the prompt, as the model's
makers do it: the verdict itself changes. A prompt without any category is refused, a model asked that calls anything
safe or unsafe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from guards.errors import GuardSetupError

BEGIN, END = "<BEGIN UNSAFE CONTENT CATEGORIES>\n", "<END UNSAFE CONTENT CATEGORIES>"
_ENTRY = re.compile(r"^(?P<code>[A-Za-z]{1,8}\d{1,3}): ", re.M)


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice among the categories that a model knows, and those that a configuration adds."""

    guard: str
    known: tuple[tuple[str, str], ...]
    wanted: tuple[str, ...] = ()
    """Only these, and the custom ones; empty: all."""
    excluded: tuple[str, ...] = ()
    custom: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        codes = {code for code, _ in (*self.known, *self.custom)}
        for option, named in (("categories", self.wanted), ("exclude", self.excluded)):
            if unknown := sorted(set(named) - codes):
                raise GuardSetupError(self.guard, f"there is no category `{unknown[0]}` in this model", option)
        if doubled := sorted({code for code, _ in self.known} & {code for code, _ in self.custom}):
            raise GuardSetupError(self.guard, f"`{doubled[0]}` is a category of the model already", "custom")
        if self.is_choice and not self.names:
            raise GuardSetupError(self.guard, "no category is left to ask about", "exclude")

    @property
    def is_choice(self) -> bool:
        """Whether the prompt differs from the one of the checkpoint."""
        return bool(self.wanted or self.excluded or self.custom)

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """(code, name) of what is asked about, in the order of the prompt."""
        everything = (*self.known, *self.custom)
        return tuple(entry for entry in everything if self.is_wanted(entry[0]))

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(code for code, _ in self.names)

    @property
    def all_codes(self) -> tuple[str, ...]:
        """Chosen or not."""
        return tuple(code for code, _ in (*self.known, *self.custom))

    def is_wanted(self, code: str) -> bool:
        is_named = not self.wanted or code in self.wanted or any(code == added for added, _ in self.custom)
        return is_named and code not in self.excluded

    def applied(self, prompt: str) -> str:
        """The prompt with its block of categories rewritten, or as it is if nothing was chosen."""
        if not self.is_choice:
            return prompt
        start, end = self._block(prompt)
        entries = self._entries(prompt[start:end])
        kept = [text for code, text in entries if self.is_wanted(code)]
        added = [f"{code}: {text}\n" for code, text in self.custom if self.is_wanted(code)]
        return prompt[:start] + "".join((*kept, *added)) + prompt[end:]

    def check_block(self, prompt: str) -> None:
        """The template asks about the categories of the profile, no others and in its order."""
        start, end = self._block(prompt)
        found = [code for code, _ in self._entries(prompt[start:end])]
        expected = [code for code, _ in self.known]
        if found != expected:
            told = f"the template asks about {', '.join(found) or 'nothing'}, expected {', '.join(expected)}"
            raise GuardSetupError(self.guard, told)

    def _block(self, prompt: str) -> tuple[int, int]:
        start, end = prompt.find(BEGIN), prompt.find(END)
        if start < 0 or end < start or prompt.count(BEGIN) != 1 or prompt.count(END) != 1:
            raise GuardSetupError(self.guard, "the template has not one block of categories")
        return start + len(BEGIN), end

    def _entries(self, block: str) -> list[tuple[str, str]]:
        """(code, its lines): an entry goes on until the next code."""
        starts = [(match.start(), match["code"]) for match in _ENTRY.finditer(block)]
        if not starts or starts[0][0] != 0:
            raise GuardSetupError(self.guard, "the template's block of categories does not begin with a code")
        ends = [start for start, _ in starts[1:]] + [len(block)]
        return [(code, block[start:end]) for (start, code), end in zip(starts, ends, strict=True)]
