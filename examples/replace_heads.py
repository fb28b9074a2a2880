"""One program in the place of one head after another: `python examples/replace_heads.py`.

Prints the bundled model's perplexity on a story with each head of one layer replaced by "looks at the token before".
"""

from __future__ import annotations

import math

import torch

from fitness.models.loading import load_model
from fitness.program import Program
from fitness.replacement import replaced
from fitness.text.sources import read_texts

PREVIOUS = Program.parse("""
def program(text):
    return text.distance == 1
""")
LAYER, TOKENS = 1, 64


def main() -> None:
    """Replaces, measures, prints."""
    model, tokenizer = load_model("storyteller-gpt2")
    story = tokenizer(read_texts("stories")[0], return_tensors="pt")["input_ids"][:, :TOKENS]

    def perplexity() -> float:
        with torch.no_grad():
            return math.exp(float(model(story, labels=story).loss))

    print(f"no head replaced: {perplexity():.2f}")
    for head in range(model.config.n_head):
        with replaced(model, {(LAYER, head): PREVIOUS}, tokenizer=tokenizer):
            print(f"L{LAYER}H{head} looks at the token before: {perplexity():.2f}")


if __name__ == "__main__":
    main()
