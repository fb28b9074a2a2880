"""A fit split whose heads are known programs with a little noise, so that tests know what operators should find."""

from functools import lru_cache

import numpy as np

from fitness.program import Program
from fitness.sandbox import Sandbox
from fitness.scoring.contract import to_prediction
from fitness.scoring.fit_view import FitView
from fitness.scoring.packing import pack
from fitness.text.view import Text
from operators.protocol import Parent, Request

STORIES = [
    "Once there was a fox , Mia . The fox saw a red hen . Mia ran to the hen , and Mia sang .",
    "One day , Tom had a big cake . Tom gave the cake to Ben . Then Ben ate the cake , and Tom smiled .",
    "The sun was hot . A frog sat in the pond , and Lily fed the frog . Lily and the frog were glad .",
    "A dog met Sam . Sam threw a ball , and the dog ran . The dog gave the ball to Sam again .",
    "Once a girl named Ann lost a hat . Ann cried , and the wind blew the hat to Ann .",
    "It was a dark night . Max saw a star , and the star fell . Max ran to the star , but it was a lamp .",
]

HIDDEN = {
    "L0H0": "0.6 * (text.distance == 1) + 0.4 * (text.is_first & (text.distance >= 0))",
    "L0H1": "(text.distance >= 0) * (1 + 9.0 * text.is_name)",
    "L0H2": "np.exp(-np.abs(text.distance) / 5.0) * (1 - 0.9 * text.is_punctuation)",
    "L0H3": "(text.distance >= 0) * (1 + 8.0 * np.isin(text.tokens, [' Mia', ' the', ' a']))",
    "L0H4": "text.distance == 0",
}
NOISE = {"L0H4": 0.0}
HEADS = list(HIDDEN)


def program(expression, doc=""):
    """A program that returns one expression."""
    docstring = f'    """{doc}"""\n' if doc else ""
    return Program.parse(f"def program(text):\n{docstring}    return {expression}\n")


def texts():
    found = []
    for story in STORIES:
        words = story.split()
        tokens = ["<|begin|>", words[0], *(word if word in ",." else f" {word}" for word in words[1:])]
        found.append(tokens)
    vocabulary = sorted({token for tokens in found for token in tokens})
    return [Text(tokens, [vocabulary.index(token) for token in tokens]) for tokens in found]


def _attention(text, head, rng, causal):
    expression, share = HIDDEN[head], NOISE.get(head, 0.04)
    weights = np.broadcast_to(eval(expression, {"np": np, "text": text}), (text.n, text.n))
    prediction = to_prediction(weights, causal=causal)
    noise = to_prediction(rng.random((text.n, text.n)), causal=causal)
    return ((1 - share) * prediction + share * noise).astype(np.float16)


def make_view(causal=True, domains=1):
    """A view with a real sandbox; close the second value. Texts take turns of so many domains."""
    rng = np.random.default_rng(0)
    inputs = texts()
    blocks = [np.stack([pack(_attention(text, head, rng, causal), causal=causal) for head in HEADS]) for text in inputs]
    sandbox = Sandbox(inputs, mode="degraded")
    view = FitView(inputs, blocks, HEADS, causal=causal, sandbox=sandbox, indices=range(len(inputs)), domains=domains)
    return view, sandbox


@lru_cache(maxsize=1)
def shared():
    return make_view()


def request(head, *programs, seed=(0, 0)):
    """A request for a head, by its name, with programs as parents."""
    return Request(HEADS.index(head), head, tuple(Parent(parent, float("nan")) for parent in programs), seed)


def fit_iou(view, proposal_or_program, head):
    """Fit IoU by way of the sandbox; fails where the program does."""
    found = proposal_or_program
    found = found if isinstance(found, Program) else Program.parse(found.source)
    predictions = view.predictions(found)
    assert isinstance(predictions, np.ndarray), (predictions, found.source)
    return view.iou(predictions, HEADS.index(head))
