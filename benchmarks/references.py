"""What tables of attention by position come to on one model, and how much that depends on the texts.

    python -m benchmarks.references smollm2 --texts stories.json --fit 24 --held-out 12 --test 12
    python -m benchmarks.references smollm2 --texts stories.json --begins 'Once upon a time, there was'
    python -m benchmarks.references smollm2 --texts stories.json --before '<|im_start|>'

Per head, the best kind of table is chosen on held-out texts, as in a campaign, but without simple baselines.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from fitness.models.capture import capture
from fitness.scoring.references import KINDS, choose, fit_tables
from fitness.text.sources import read_texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder, .gguf file, bundled name or hub name")
    parser.add_argument("--texts", default="stories")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--fit", type=int, default=24)
    parser.add_argument("--held-out", type=int, default=12)
    parser.add_argument("--test", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--begins", default="", help="only texts that begin so")
    parser.add_argument("--before", default="", help="what is put before each text, such as a begin token")
    parser.add_argument("--cache", type=Path, help="where captured attention is kept (default: nowhere)")
    asked = parser.parse_args()

    texts = read_texts(asked.texts)
    order = np.random.default_rng(asked.seed).permutation(len(texts))
    begin = [texts[index] for index in order if texts[index].startswith(asked.begins)]
    drawn = [asked.before + text for text in begin[: asked.fit + asked.held_out + asked.test]]
    fit = range(asked.fit)
    held_out = range(asked.fit, asked.fit + asked.held_out)
    test = range(asked.fit + asked.held_out, len(drawn))

    with tempfile.TemporaryDirectory() as folder:
        attention = capture(asked.model, drawn, max_tokens=asked.max_tokens, cache=asked.cache or Path(folder))
        tables = fit_tables(attention, fit)
        before, after = tables.score(attention, held_out), tables.score(attention, test)
    chosen = choose(tables, before).kinds
    best = np.mean([after[kind][head].mean() for head, kind in enumerate(chosen)])
    print(describe())
    print(f"{len(drawn)} of {len(begin)} texts, {len(chosen)} heads, at most {asked.max_tokens} tokens")
    for kind in KINDS:
        print(f"{kind.replace('_', ' '):15} {after[kind].mean():.3f}")
    print(f"{'best of each':15} {best:.3f}")


if __name__ == "__main__":
    main()
