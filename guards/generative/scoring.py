"""From the probabilities of next tokens to one score: how likely the model says `unsafe`, if it gives a verdict at all.

The verdict is not always the first token: Llama Guard 3 and 4 first write a blank line, which their prompt leaves out.
So an answer is a small tree. At each node stands what has been written so far and which tokens lead on; all nodes are
asked for in one call, since they share their beginning. With `u` and `s` summed over every way to an unsafe and to a
safe verdict, for Llama Guard

    u = p(unsafe) + p(blank line) · p(unsafe after it)      s likewise      score = u / (u + s)

`u + s` is how much of the model's belief is in a verdict. Below a floor it is saying something else, and there is no
score. Tokens are looked up in the tokenizer that is loaded, never written down here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.generative.tokens import GuardTokenizer, Ids
from guards.profiles.generative import AnswerForm

Distribution = Mapping[int, float]
"""Probabilities of the tokens that were asked for; one that is not in it has none."""
TOLERANCE = 1e-3
"""How far rounding may carry a sum of probabilities above 1."""


@dataclass(frozen=True, slots=True)
class Node:
    """One place in the answer."""

    ids: Ids
    """What has been written up to here, after the prompt."""
    branches: tuple[tuple[int, Node | bool], ...]
    """Token that leads on, to another place or to the verdict (True: unsafe)."""


@dataclass(frozen=True, slots=True)
class AnswerTree:
    """All places that decide a verdict."""

    root: Node
    unsafe: tuple[tuple[Ids, int, Ids], ...]
    """Each way to an unsafe verdict: the place, the token that decides, and all that has been written after it."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """In the order in which they are asked for."""
        return tuple(_walk(self.root))

    @property
    def wanted(self) -> tuple[int, ...]:
        return tuple(sorted({token for node in self.nodes for token, _ in node.branches}))


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for _, following in node.branches:
        if isinstance(following, Node):
            yield from _walk(following)


def tree_of(guard: str, form: AnswerForm, tokenizer: GuardTokenizer, tail: str) -> AnswerTree:
    """The tree of an answer form after a prompt that ends in `tail` (what follows its last control token)."""
    planter = _Planter(guard, form, tokenizer, tail)
    return AnswerTree(planter.root(), tuple(planter.unsafe))


class _Planter:
    def __init__(self, guard: str, form: AnswerForm, tokenizer: GuardTokenizer, tail: str) -> None:
        self._guard, self._form, self._tokenizer, self._tail = guard, form, tokenizer, tail
        self.unsafe: list[tuple[Ids, int, Ids]] = []

    def root(self) -> Node:
        form = self._form
        opening = form.opening if form.opening and not self._tail.endswith(form.opening) else ""
        node = self._line(0, "")
        if not opening:
            return node
        token = self._step("", opening, is_whole=True)
        if token in dict(node.branches):
            raise GuardSetupError(self._guard, "the opening of the answer begins like a verdict")
        return Node(node.ids, (*node.branches, (token, self._line(0, opening))))

    def _line(self, index: int, written: str) -> Node:
        """The node of one line, with those that follow each of its values."""
        form = self._form
        if index == len(form.before):
            return self._verdict(written + form.text)
        line = form.before[index]
        place = written + line.text
        branches = [(self._step(place, value), self._line(index + 1, place + value)) for value in line.values]
        return self._node(place, branches)

    def _verdict(self, place: str) -> Node:
        form = self._form
        said = [(word, True) for word in form.unsafe] + [(word, False) for word in form.safe]
        node = self._node(place, [(self._step(place, word, form.is_token), unsafe) for word, unsafe in said])
        for word, (token, unsafe) in zip((*form.unsafe, *form.safe), node.branches, strict=True):
            if unsafe:
                self.unsafe.append((node.ids, token, after(self._guard, self._tokenizer, self._tail, place + word)))
        return node

    def _node(self, place: str, branches: Sequence[tuple[int, Node | bool]]) -> Node:
        if len({token for token, _ in branches}) != len(branches):
            raise GuardSetupError(self._guard, "two words of the answer begin with the same token")
        node = Node(after(self._guard, self._tokenizer, self._tail, place), tuple(branches))
        for token, following in branches:
            if isinstance(following, Node) and following.ids[: len(node.ids) + 1] != (*node.ids, token):
                raise GuardSetupError(self._guard, "the tokenizer joins one line of the answer to the next")
        return node

    def _step(self, place: str, word: str, is_whole: bool = False) -> int:
        """The first token of a word at a place; the only one, if it has to be whole."""
        before = after(self._guard, self._tokenizer, self._tail, place)
        ids = after(self._guard, self._tokenizer, self._tail, place + word)
        if ids[: len(before)] != before or len(ids) == len(before):
            raise GuardSetupError(
                self._guard, f"the tokenizer joins `{word.strip()}` of the answer to what is before it"
            )
        if is_whole and len(ids) != len(before) + 1:
            raise GuardSetupError(self._guard, f"the tokenizer has no one token for `{word.strip() or 'blank line'}`")
        return ids[len(before)]


def after(guard: str, tokenizer: GuardTokenizer, tail: str, written: str) -> Ids:
    """Ids of what a model writes after a prompt that ends in `tail`."""
    before, both = tokenizer.words(tail), tokenizer.words(tail + written)
    if both[: len(before)] != before:
        raise GuardSetupError(guard, "the tokenizer joins the end of the prompt to the answer")
    return both[len(before) :]


def score(guard: str, tree: AnswerTree, found: Sequence[Distribution], floor: float) -> float:
    """Probability of an unsafe verdict, or GuardError. `found` is in the order of `tree.nodes`."""
    by_ids = {node.ids: probabilities for node, probabilities in zip(tree.nodes, found, strict=True)}
    unsafe, safe = _sums(tree.root, by_ids)
    mass = unsafe + safe
    # Written so that a NaN fails it.
    if not floor <= mass <= 1.0 + TOLERANCE:
        raise GuardError(
            guard, ErrorKind.BAD_ANSWER, f"probability {mass:.3f} is on a verdict, expected at least {floor:g}"
        )
    return unsafe / mass


def likeliest(tree: AnswerTree, found: Sequence[Distribution]) -> Ids:
    """What the model has most probably written when it has said that the text is unsafe."""
    by_ids = {node.ids: probabilities for node, probabilities in zip(tree.nodes, found, strict=True)}
    reach = {tree.root.ids: 1.0}
    for node in tree.nodes:
        for token, following in node.branches:
            if isinstance(following, Node):
                reach[following.ids] = reach[node.ids] * by_ids[node.ids].get(token, 0.0)
    return max(tree.unsafe, key=lambda way: reach[way[0]] * by_ids[way[0]].get(way[1], 0.0))[2]


def _sums(node: Node, by_ids: Mapping[Ids, Distribution]) -> tuple[float, float]:
    unsafe = safe = 0.0
    for token, following in node.branches:
        probability = by_ids[node.ids].get(token, 0.0)
        if isinstance(following, Node):
            below = _sums(following, by_ids)
            unsafe, safe = unsafe + probability * below[0], safe + probability * below[1]
        elif following:
            unsafe += probability
        else:
            safe += probability
    return unsafe, safe
