"""What capturing attention costs beyond the model's own forward pass; run as `python -m benchmarks.capture [MODEL]`.

The same batches run through the model with eager attention and nothing else, and through the capture that writes their
attention to disk, in turns. The clock counts CPU time of this process, threads included, so that other work on the
machine does not blur the ratio.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.machine import describe
from fitness.models.capture import all_cores, batches, capture_batches, read_all
from fitness.models.loading import Reader, load
from fitness.models.observe import forward_options, inspect_heads
from fitness.models.source import locate
from fitness.text.sources import read_texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="storyteller-gpt2")
    parser.add_argument("--texts", default="stories")
    parser.add_argument("--number", type=int, default=24, help="texts")
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    loaded = load(locate(arguments.model))
    model = loaded.model
    strings = read_texts(arguments.texts)[: arguments.number]
    texts, _ = read_all(Reader(loaded.tokenizer), strings, arguments.max_tokens)
    found = inspect_heads(model)
    groups = batches([text.n for text in texts])
    inputs = [torch.tensor([texts[index].ids.tolist() for index in batch]) for batch in groups]
    print(describe())
    print(
        f"{arguments.model}: {found.total} heads, {len(texts)} texts of up to {arguments.max_tokens} tokens in "
        f"{len(groups)} batches; medians of {arguments.repeats}"
    )

    def forward(**options: object) -> None:
        with torch.no_grad():
            for ids in inputs:
                model(input_ids=ids, **options)

    def captured() -> None:
        with tempfile.TemporaryDirectory() as folder:
            capture_batches(Path(folder), model, texts, found, lambda done, total: None)

    ways: dict[str, Callable[[], None]] = {
        "eager forward pass": lambda: forward(use_cache=False),
        "the same, logits of one token alone": lambda: forward(**forward_options(model)),
        "capture": captured,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with all_cores():
        for turn in range(arguments.repeats + 1):
            for name, way in ways.items():
                began = time.process_time()
                way()
                if turn:
                    seconds[name].append(time.process_time() - began)
    first = statistics.median(seconds["eager forward pass"])
    for name, values in seconds.items():
        print(f"{name:40} {statistics.median(values):8.2f} s CPU, ratio {statistics.median(values) / first:.3f}")


if __name__ == "__main__":
    main()
