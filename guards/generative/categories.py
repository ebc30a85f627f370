"""Which categories a guard would name, read from probabilities instead of from its text.

After an unsafe verdict the model lists codes. Their tokens make a trie; where it forks, the model is asked, and where
it does not, nothing is: a forced token costs no call. So no answer can be malformed. A code's probability is summed
over the places where it may stand: first, second after the likeliest first, and so on, each weighed by how likely the
list gets there along that path. Those are ways that exclude each other, so the sum is a probability; it leaves out
lists that begin in a less likely way, so it is a lower bound, and close where the model is sure. Times the score it is
what a verdict reports: never more than the score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.generative.scoring import Distribution, after
from guards.generative.tokens import GuardTokenizer, Ids
from guards.profiles.generative import AnswerForm

MAX_TOKENS = 64
"""As many as our model host tells by id in one call."""
LEAST_REACH = 0.02
"""A list that gets so far with less probability is not followed."""


@dataclass(frozen=True, slots=True)
class CodeTrie:
    """Tokens of each code where the list begins, and where it goes on; no code's tokens begin another's."""

    opening: Ids
    """From an unsafe verdict to the first code."""
    first: tuple[tuple[str, Ids], ...]
    next: tuple[tuple[str, Ids], ...]
    """With the separator in front."""
    ends: frozenset[int]
    """Tokens that end the answer."""

    def forks(self, table: Sequence[tuple[str, Ids]]) -> tuple[Ids, ...]:
        """Beginnings of codes after which more than one token may follow."""
        follows: dict[Ids, set[int]] = {}
        for _, ids in table:
            for i, token in enumerate(ids):
                follows.setdefault(ids[:i], set()).add(token)
        return tuple(sorted(place for place, tokens in follows.items() if len(tokens) > 1))

    @property
    def wanted(self) -> tuple[int, ...]:
        """Every token whose probability may be asked for."""
        tokens = {token for _, ids in (*self.first, *self.next) for token in ids}
        return tuple(sorted(tokens | self.ends | set(self.opening[:1])))


def trie_of(
    guard: str, form: AnswerForm, tokenizer: GuardTokenizer, codes: Sequence[str], ends: frozenset[int]
) -> CodeTrie | None:
    """The trie for these codes, or None for a guard that names none."""
    if not form.codes or not codes:
        return None
    verdict = form.unsafe[0]

    def tokens(place: str, word: str) -> Ids:
        before, both = (after(guard, tokenizer, "", verdict + text) for text in (place, place + word))
        if both[: len(before)] != before:
            raise GuardSetupError(guard, f"the tokenizer joins `{word}` of the answer to what is before it")
        return both[len(before) :]

    opening = after(guard, tokenizer, "", verdict + form.codes)[len(after(guard, tokenizer, "", verdict)) :]
    first = tuple((code, tokens(form.codes, code)) for code in codes)
    following = [tuple((code, tokens(form.codes + one, form.separator + code)) for code in codes) for one in codes]
    if len(set(following)) != 1:
        raise GuardSetupError(guard, "the tokens of a code depend on the code before it")
    for table in (first, following[0]):
        ids = sorted(ids for _, ids in table)
        if any(longer[: len(shorter)] == shorter for shorter, longer in pairwise(ids)):
            raise GuardSetupError(guard, "the tokens of one code begin those of another")
    made = CodeTrie(opening, first, following[0], ends)
    if len(made.wanted) > MAX_TOKENS:
        told = f"the codes have {len(made.wanted)} different tokens, expected at most {MAX_TOKENS}"
        raise GuardSetupError(guard, told)
    if not ends:
        raise GuardSetupError(guard, "the tokenizer has no token that ends an answer")
    return made


@dataclass(slots=True)
class Reading:
    """The list of one answer, being read. `prompt` ends with an unsafe verdict."""

    guard: str
    trie: CodeTrie
    prompt: Ids
    floor: float
    written: Ids = ()
    reach: float = 1.0
    named: list[str] = field(default_factory=list)
    found: dict[str, float] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to ask."""
        return self.reach < LEAST_REACH or len(self.named) == len(self.trie.first)

    def prompts(self) -> list[Ids]:
        """What to ask next: whether the list goes on here, and which code it goes on with."""
        here = self.prompt + self.written
        return [here, *(here + self._lead + place for place in self._forks)]

    def take(self, answers: Sequence[Distribution]) -> None:
        """The answers to `prompts`, in order."""
        goes_on, ends = self._shares(answers[0])
        self.reach *= goes_on / (goes_on + ends)
        if self.reach < LEAST_REACH:
            return
        forks = dict(zip(self._forks, answers[1:], strict=True))
        chances = {code: self._chance(ids, forks) for code, ids in self._table}
        mass = sum(chances.values()) / (goes_on if self.named and () in forks else 1.0)
        chances = {code: chance for code, chance in chances.items() if code not in self.named}
        total = sum(chances.values())
        if not self.floor <= mass or total <= 0.0:
            if self.reach >= self.floor:
                raise GuardError(self.guard, ErrorKind.BAD_ANSWER, "the model names something else than a category")
            self.reach = 0.0  # a list that is unlikely anyway leads to where the model never was
            return
        for code, chance in chances.items():
            self.found[code] = self.found.get(code, 0.0) + self.reach * chance / total
        best = max(chances, key=lambda code: (chances[code], code))
        self.reach *= chances[best] / total
        self.written += self._lead + dict(self._table)[best]
        self.named.append(best)

    @property
    def _table(self) -> tuple[tuple[str, Ids], ...]:
        return self.trie.next if self.named else self.trie.first

    @property
    def _lead(self) -> Ids:
        return () if self.named else self.trie.opening

    @property
    def _forks(self) -> tuple[Ids, ...]:
        return self.trie.forks(self._table)

    def _shares(self, here: Distribution) -> tuple[float, float]:
        """Probability that a code comes here, and that the answer ends."""
        more = {ids[0] for _, ids in self._table} if self.named else {self.trie.opening[0]}
        goes_on = sum(here.get(token, 0.0) for token in more)
        ends = sum(here.get(token, 0.0) for token in self.trie.ends)
        if goes_on + ends <= 0.0:
            raise GuardError(self.guard, ErrorKind.BAD_ANSWER, "the model goes on with neither a category nor an end")
        return goes_on, ends

    def _chance(self, ids: Ids, forks: Mapping[Ids, Distribution]) -> float:
        chance = 1.0
        for i, token in enumerate(ids):
            if ids[:i] in forks:
                chance *= forks[ids[:i]].get(token, 0.0)
        return chance
