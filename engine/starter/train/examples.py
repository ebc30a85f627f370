"""Training examples without end: conversations drawn from the corpus, each with the one right answer."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import yaml

from engine.starter.train.augment import SMALL_TALK, vary
from engine.starter.train.chat import Message, function, tools_text
from engine.starter.train.corpus import FALLBACK, HERE, Intent, Tool, lines, load_tools, offtopic_patterns

OTHER_TOOLS = (
    *(
        ("book_flight", "destination", "Book a flight"),
        ("send_email", "to", "Send an email"),
        ("add_event", "title", "Add an event"),
    ),
    *(
        ("play_music", "song", "Play a song"),
        ("get_stock", "symbol", "Stock price"),
        ("run_sql", "statement", "Run a query"),
    ),
    *(
        ("translate", "text", "Translate a text"),
        ("calculate", "expression", "Evaluate an expression"),
        ("find_user", "name", "Find a user"),
    ),
)
SYLLABLES = re.findall(
    "..",
    "babebocacodadedofafegohahehikakolalelilomamemimonanenopaporarerirosasesotatetovavevinawiwaza",
)
ENDINGS = ("n", "r", "s", "l", "k", "th", "burg", "ville", "ton", "ham", "field", "stad", "grad", "mar", "dorf")


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation and what the assistant says next."""

    messages: tuple[Message, ...]
    answer: str
    whole: bool = False
    """Train on every token of the answer; otherwise mostly on its beginning, which holds the decision."""
    first: float = 1.0
    later: float = 0.25
    """How much the tokens of the beginning count, and those after it, which hardly ever surprise."""
    across: bool = False
    """Cut the first text so that a border of an attention chunk falls into the answer."""


class Examples:
    """Draws examples. Two with the same arguments draw the same."""

    def __init__(self, intents: Sequence[Intent], public: Sequence[str], harmful: Sequence[str], seed: int) -> None:
        self.rng = random.Random(seed)
        self.intents = tuple(intents)
        self.answers = {intent.id: intent.answer for intent in intents}
        self.public, self.harmful = tuple(public), tuple(harmful)
        self.own_offtopic = lines("offtopic.txt")
        self.near = offtopic_patterns()
        self.systems = lines("systems.txt")
        self.tasks = lines("tasks.txt")
        self.tools, self.after_result = load_tools()
        self.dialogues = yaml.safe_load((HERE / "dialogues.yaml").read_text())
        texts = [prompt for intent in intents for prompt in intent.trained]
        self.words = sorted({word for text in (*texts, *self.own_offtopic) for word in text.split() if word.isalpha()})
        weights = {intent.id: 2 if intent.id == "refuse" else 1 for intent in intents}
        self.drawn = [intent for intent in intents for _ in range(weights[intent.id])]
        self.kinds: tuple[tuple[float, Callable[[], Example]], ...] = (
            (0.60, self.intent),
            (0.16, self.offtopic),
            (0.045, self.task),
            (0.03, self.garbage),
            (0.03, self.salad),
            (0.02, self.anyway),
            (0.035, self.tool_call),
            (0.033, self.tools_unused),
            (0.006, self.tool_result),
            (0.034, self.follow_up),
            (0.007, self.long),
        )

    def draw(self) -> Example:
        """One more example."""
        weights = [weight for weight, _ in self.kinds]
        return self.rng.choices([kind for _, kind in self.kinds], weights)[0]()

    def draw_plain(self) -> Example:
        """One question without anything around it: what the first part of a run learns from."""
        return (self.intent if self.rng.random() < 0.68 else self.offtopic)()

    def system(self) -> tuple[Message, ...]:
        """A system turn, or none."""
        kind = self.rng.random()
        if kind < 0.68:
            return ()
        if kind < 0.97 or not self.public:
            return (("system", self.rng.choice(self.systems)),)
        return (("system", cut(self.rng.choice(self.public), self.rng.randint(4, 20))),)

    def question(self) -> tuple[str, str]:
        """A prompt of some intent in somebody's words, and its answer."""
        intent = self.rng.choice(self.drawn)
        if intent.patterns and self.rng.random() < 0.35:
            group = self.rng.choices(intent.patterns, [min(len(group), 40) for group in intent.patterns])[0]
            prompt = self.rng.choice(group)
        elif intent.id == "refuse" and self.harmful and self.rng.random() < 0.4:
            prompt = cut(self.rng.choice(self.harmful), 40)
        else:
            prompt = self.rng.choice(intent.trained)
        return vary(prompt, self.rng, wrap=intent.id not in SMALL_TALK), intent.answer

    def intent(self) -> Example:
        """A question that the starter can answer."""
        prompt, answer = self.question()
        return Example((*self.system(), ("user", prompt)), answer)

    def stray(self) -> str:
        """A prompt that the starter cannot answer."""
        if self.public and self.rng.random() < 0.4:
            return case_of(cut(self.rng.choice(self.public), self.rng.choice((5, 8, 12, 18, 30, 50, 90))), self.rng)
        pool = self.rng.choice((self.own_offtopic, self.rng.choice(self.near)))
        return vary(self.rng.choice(pool), self.rng, wrap=self.rng.random() < 0.5)

    def offtopic(self) -> Example:
        """Anything else."""
        return Example((*self.system(), ("user", self.stray())), FALLBACK, whole=self.rng.random() < 0.3)

    def task(self) -> Example:
        """An instruction with the text it is about, which may be about anything."""
        instruction = vary(self.rng.choice(self.tasks), self.rng, wrap=False)
        return Example((*self.system(), ("user", self.with_input(instruction))), FALLBACK)

    def with_input(self, instruction: str) -> str:
        """An instruction, followed or preceded by its text."""
        kind = self.rng.random()
        if kind < 0.25:
            return instruction
        text = " ".join(self.stray() for _ in range(self.rng.choice((1, 1, 2, 4))))
        if kind < 0.35:
            return f"{text}\n\n{instruction}"
        mark = self.rng.choice(("\n\n", "\n", ": ", " ", "\n\nInput: ", "\nText: ", "\n\nSentence: ", ' "', "\n- "))
        return instruction + mark + text

    def garbage(self) -> Example:
        """What a cat on the keyboard, a decoder or a fuzzer would send."""
        return Example((*self.system(), ("user", garbage(self.rng))), FALLBACK, whole=self.rng.random() < 0.5)

    def salad(self) -> Example:
        """Words of the corpus without sense."""
        return Example((("user", self.words_at_random()),), FALLBACK, whole=self.rng.random() < 0.5)

    def words_at_random(self) -> str:
        """Four to twenty words."""
        return " ".join(self.rng.choices(self.words, k=self.rng.choice((4, 6, 9, 14, 20))))

    def anyway(self) -> Example:
        """The rest of an answer that has begun, whatever was asked: a wrong answer must still be a whole sentence."""
        kinds = (lambda: garbage(self.rng), self.words_at_random, self.stray, lambda: self.question()[0])
        answer = FALLBACK if self.rng.random() < 0.25 else self.rng.choice(self.intents).answer
        return Example((("user", self.rng.choice(kinds)()),), answer, whole=True, first=0.0, later=1.0)

    def with_tools(self, needed: Tool | None) -> tuple[Message, ...]:
        """A system turn that offers tools, `needed` among them."""
        offered = [self.define(needed)] if needed else []
        others = [tool for tool in self.tools if tool is not needed]
        for tool in self.rng.sample(others, self.rng.choice((0, 0, 0, 0, 1, 2)) if needed else 0):
            offered.append(self.define(tool))
        for name, argument, about in self.rng.sample(
            OTHER_TOOLS, self.rng.choice((0, 0, 0, 0, 0, 1)) if needed else self.rng.choice((1, 1, 2))
        ):
            offered.append(function(name, argument, about))
        self.rng.shuffle(offered)
        own = f"{self.rng.choice(self.systems)}\n\n" if self.rng.random() < 0.35 else ""
        return (("system", own + tools_text(offered)),)

    def define(self, tool: Tool) -> dict[str, object]:
        """A definition as some client would write it; half of them bare, which makes copying quick to learn."""
        if self.rng.random() < 0.5:
            return {"name": tool.name}
        about = self.rng.choice(("", "", tool.argument, f"Name of the {tool.argument}", f"The {tool.argument}"))
        return function(tool.name, tool.argument, self.rng.choice(tool.descriptions), about)

    def call(self, known: bool = True) -> tuple[Tool, str, str]:
        """A tool, a sentence that asks for it, and the call."""
        tool = self.rng.choice(self.tools)
        value = self.rng.choice(tool.values) if known else self.stranger(tool)
        prompt = self.rng.choice(tool.ask)
        written = value.lower() if self.rng.random() < 0.15 else value
        prompt = prompt[:1].upper() + prompt[1:] if self.rng.random() < 0.5 else prompt
        prompt = self.rng.choice(("", "", "", "", "please ", "hi, ", "can you tell me ")) + prompt.replace(
            "{}", written
        )
        return tool, prompt + self.rng.choice(("", "?", ".", "?")), f'[{tool.name}({tool.argument}="{value}")]'

    def stranger(self, tool: Tool) -> str:
        """An argument the starter does not know: an invented name, words of the corpus, another tool's argument."""
        kind = self.rng.random()
        if kind < 0.5:
            return invented(self.rng)
        other = self.rng.choice([other for other in self.tools if other is not tool])
        if kind < 0.7 and (foreign := self.rng.choice(other.values)) not in tool.values:
            return foreign
        words = " ".join(self.rng.choice(self.words) for _ in range(self.rng.randint(1, 3)))
        return words if words not in tool.values else invented(self.rng)

    def tool_call(self) -> Example:
        """A question for a tool that is there."""
        tool, prompt, call = self.call()
        return Example((*self.with_tools(tool), ("user", prompt)), call, whole=True, later=1.0)

    def tools_unused(self) -> Example:
        """Tools are there but the question is another, or the tool that would help is not there."""
        tool, prompt, _ = self.call(known=self.rng.random() < 0.4)
        kind = self.rng.random()
        if kind < 0.4:
            tool, prompt, _ = self.call(known=False)
            return Example((*self.with_tools(tool), ("user", prompt)), FALLBACK)
        if kind < 0.5:
            return Example((*self.system(), ("user", prompt)), FALLBACK)
        prompt, answer = self.question() if kind < 0.8 else (self.stray(), FALLBACK)
        return Example((*self.with_tools(tool), ("user", prompt)), answer)

    def tool_result(self) -> Example:
        """A tool has answered."""
        tool, prompt, call = self.call()
        result = self.rng.choice(
            (garbage(self.rng), self.stray(), '{"temperature": 21}', "12:30", "sunny, 18 degrees", "[]", "no result")
        )
        turns = (("user", prompt), ("assistant", call), ("ipython", result))
        return Example((*self.with_tools(tool), *turns), self.after_result)

    def follow_up(self) -> Example:
        """A second turn: one that leans on the first, or one that has nothing to do with it."""
        if self.rng.random() < 0.65:
            row = self.rng.choice(self.dialogues)
            first = next(intent for intent in self.intents if intent.id == row["after"])
            prompt, answer = vary(self.rng.choice(row["ask"]), self.rng, wrap=False), self.answers[row["then"]]
            earlier, said = vary(self.rng.choice(first.trained), self.rng, wrap=False), first.answer
        else:
            earlier, said = self.question() if self.rng.random() < 0.7 else (self.stray(), FALLBACK)
            prompt, answer = self.question() if self.rng.random() < 0.75 else (self.stray(), FALLBACK)
        return Example((*self.system(), ("user", earlier), ("assistant", said), ("user", prompt)), answer)

    def long(self) -> Example:
        """A text that crosses the border of an attention chunk, alone or before a question."""
        pieces = [
            self.stray() if self.rng.random() < 0.8 else garbage(self.rng) for _ in range(self.rng.randint(10, 50))
        ]
        text, kind = cut(" ".join(pieces), 500), self.rng.random()
        if kind < 0.6:
            return Example((("user", text),), FALLBACK, whole=True, across=kind < 0.5)
        prompt, answer = self.question()
        turns = (("user", text), ("assistant", FALLBACK), ("user", prompt))
        return Example(turns, answer, whole=True, across=kind < 0.9)


def cut(text: str, words: int) -> str:
    """The first words of a text."""
    return " ".join(text.split()[:words])


def case_of(text: str, rng: random.Random) -> str:
    """The text, sometimes in lower case."""
    return text.lower() if rng.random() < 0.3 else text


def invented(rng: random.Random) -> str:
    """A name that nobody has."""
    name = "".join(rng.choices(SYLLABLES, k=rng.choice((1, 2, 2, 3)))) + rng.choice(ENDINGS)
    return name.capitalize() if rng.random() < 0.8 else name


def garbage(rng: random.Random) -> str:
    """Random characters of one of several kinds."""
    kind, size = rng.randrange(6), rng.choice((1, 3, 8, 20, 60))
    if kind == 0:
        return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=size))
    if kind == 1:
        return "".join(rng.choices("0123456789+-*/=. ", k=size)).strip() or "0"
    if kind == 2:
        return "".join(chr(rng.randrange(33, 127)) for _ in range(size))
    if kind == 3:
        start = rng.choice((0xA1, 0x370, 0x400, 0x5D0, 0x620, 0x900, 0xE01, 0x3041, 0x4E00, 0xAC00, 0x1F600))
        return "".join(chr(start + rng.randrange(40)) for _ in range(size))
    if kind == 4:
        return " ".join(
            "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(1, 9))) for _ in range(size // 3 + 1)
        )
    return rng.choice("!?.,;:-_#*@$%&<>[]{}()/|~^\"'`=+0x\n ") * size or "."
