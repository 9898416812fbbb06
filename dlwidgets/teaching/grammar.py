"""`sentences()`: text made by a small grammar, and its kinds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from .data import Data, check_integer

#: Nouns and verbs in two forms: of one, of many. A verb's second form is its base form, as in "see the dog".
NOUNS = (
    ("dog", "dogs"), ("cat", "cats"), ("bird", "birds"), ("fox", "foxes"),
    ("child", "children"), ("teacher", "teachers"), ("mouse", "mice"), ("goose", "geese"),
)  # fmt: skip
VERBS = (
    ("sees", "see"), ("hears", "hear"), ("likes", "like"), ("knows", "know"), ("follows", "follow"), ("finds", "find"),
)  # fmt: skip
DO = ("does", "do")
DETERMINERS = (("a", "the", "every", "this"), ("the", "some", "two", "these"))
ADJECTIVES = ("big", "small", "old", "young", "red", "blue")
CLASSES = ("statement", "question", "command", "negation", "wrong")

#: Token -> word; token 0 fills the end of what is shorter than the others.
WORDS = tuple(dict.fromkeys((
    "", *(word for pair in (*NOUNS, *VERBS, DO, *DETERMINERS) for word in pair), *ADJECTIVES,
    "that", "not", "please", "often",
)))  # fmt: skip
_TOKENS = {word: token for token, word in enumerate(WORDS)}

ABOUT = """Sentences of a toy language, made by a small grammar from seed {seed}: statements ("the dog sees some
cats"), questions ("does the dog see some cats"), commands, negations, and wrong ones, whose verb does not agree with
its subject ("the dog see some cats"), as many of each. A sentence is {length} whole numbers, a word each, filled up
with 0; `teaching.grammar.WORDS` says which. The kind is in the order of the words and in forms that belong together
across the sentence, not in any single word. No sentence comes twice."""


def sentences(n_train: int = 4000, n_valid: int = 1000, length: int = 16, seed: int = 0) -> Data:
    """Make sentences of five kinds by a grammar, as tokens.

    Made for attention: what tells a statement from a wrong one is two words that may stand far apart. A
    `TinyTransformer` needs some hundred steps.

    Parameters
    ----------
    n_train, n_valid : sentences in each part.
    length : tokens of a sentence; longer sentences are drawn anew.
    seed : the same seed gives the same sentences; the global random streams are neither read nor moved.

    Returns
    -------
    Data : X of N x length int64 tokens, 0 at the end; y of N int64, the number of the class.

    Raises
    ------
    TypeError, ValueError : a number is not a whole number or is out of its range.
    """
    n_train = check_integer("n_train", n_train, least=1)
    n_valid = check_integer("n_valid", n_valid, least=1)
    length = check_integer("length", length, least=12)
    seed = check_integer("seed", seed, least=0)
    seen: set[tuple[str, ...]] = set()
    parts = []
    for stream, n in enumerate((n_train, n_valid)):
        random = np.random.default_rng([seed, stream])
        kinds = random.permutation(np.arange(n) % len(CLASSES))
        tokens = [_tokens(_new_sentence(CLASSES[kind], length, seen, random), length) for kind in kinds]
        parts.append((torch.tensor(tokens), torch.from_numpy(kinds)))
    about = " ".join(ABOUT.format(seed=seed, length=length).split())
    return Data("sentences", *parts, CLASSES, "multiclass", about)


def read_sentence(tokens: Iterable[int]) -> str:
    """Return the words of a row of tokens."""
    return " ".join(WORDS[int(token)] for token in tokens if int(token))


def _tokens(words: Iterable[str], length: int) -> list[int]:
    tokens = [_TOKENS[word] for word in words]
    return tokens + [0] * (length - len(tokens))


def _new_sentence(
    kind: str, length: int, seen: set[tuple[str, ...]], random: np.random.Generator
) -> tuple[str, ...]:
    """Write a sentence of a kind that was not seen before."""
    while len(words := tuple(_sentence(kind, random))) > length or words in seen:
        pass
    seen.add(words)
    return words


def _sentence(kind: str, random: np.random.Generator) -> list[str]:
    """Write a sentence of a kind, about one or many."""
    number, verb = int(random.integers(2)), VERBS[random.integers(len(VERBS))]
    base, fitting = verb[1], verb[number ^ (kind == "wrong")]
    often = ["often"] * int(random.integers(2))
    if kind == "command":
        return ["please"] * int(random.integers(2)) + [base, *_noun_phrase(random)]
    subject, object_ = _noun_phrase(random, number), _noun_phrase(random)
    if kind == "question":
        return [DO[number], *subject, *often, base, *object_]
    if kind == "negation":
        return [*subject, DO[number], "not", *often, base, *object_]
    return [*subject, *often, fitting, *object_]


def _noun_phrase(random: np.random.Generator, number: int | None = None, clause: float = 0.15) -> list[str]:
    """Write "the old dog", sometimes with "that sees two cats"."""
    number = int(random.integers(2)) if number is None else number
    determiner = DETERMINERS[number][random.integers(4)]
    adjectives = [ADJECTIVES[which] for which in random.permutation(len(ADJECTIVES))[: random.integers(3)]]
    words = [determiner, *adjectives, NOUNS[random.integers(len(NOUNS))][number]]
    if random.random() < clause:
        words += ["that", VERBS[random.integers(len(VERBS))][number], *_noun_phrase(random, clause=0)]
    return words
