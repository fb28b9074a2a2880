"""Trains the two bundled storyteller models; run as `python -m fitness.demo.train ARCHITECTURE OUT --texts STORIES`.

The stories are a JSON list of strings, a text file of blank-line separated stories, or a hub data set name such as
`roneneldan/TinyStories`. Training stops at the lowest validation loss, on stories that were not trained on, and
`training.json` beside the weights records steps, seed and validation perplexity.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from fitness.text.sources import read_texts

BEGIN = "<|begin|>"
CONTEXT = 256
VOCABULARY = 1536


def train_tokenizer(stories: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE of `VOCABULARY` tokens that puts the begin token at position 0 of every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[BEGIN], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(stories, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=BEGIN, pad_token=BEGIN, model_max_length=CONTEXT
    )


def build_model(architecture: str) -> PreTrainedModel:
    """An untrained model of about one million parameters: 4 layers of 8 heads, width 128.

    Raises:
        ValueError: for an architecture other than `gpt2` or `llama`.
    """
    if architecture == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=VOCABULARY,
                n_positions=CONTEXT,
                n_embd=128,
                n_layer=4,
                n_head=8,
                embd_pdrop=0.0,
                resid_pdrop=0.0,
                bos_token_id=0,
                eos_token_id=0,
            )
        )
    if architecture == "llama":
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCABULARY,
                max_position_embeddings=CONTEXT,
                hidden_size=128,
                intermediate_size=352,
                num_hidden_layers=4,
                num_attention_heads=8,
                num_key_value_heads=4,
                attention_dropout=0.1,
                tie_word_embeddings=True,
                bos_token_id=0,
                eos_token_id=0,
            )
        )
    raise ValueError(f"unknown architecture {architecture!r}; known: gpt2, llama")


def windows(rows: list[list[int]], rng: np.random.Generator, batch_size: int) -> Iterator[torch.Tensor]:
    """One epoch of (batch, length) int64 token ids, padded with -1; a long story gives one window of its tokens."""
    order = rng.permutation(len(rows))
    for begin in range(0, len(order) - batch_size + 1, batch_size):
        picked = [rows[index] for index in order[begin : begin + batch_size]]
        starts = [int(rng.integers(0, max(1, len(row) - CONTEXT + 2))) for row in picked]
        cut = [[0, *row[start : start + CONTEXT - 1]] for row, start in zip(picked, starts, strict=True)]
        batch = torch.full((batch_size, max(map(len, cut))), -1)
        for index, ids in enumerate(cut):
            batch[index, : len(ids)] = torch.tensor(ids)
        yield batch


def loss_of(model: PreTrainedModel, batch: torch.Tensor) -> torch.Tensor:
    """Mean next-token cross entropy in nats over the tokens of a batch from `windows`."""
    logits = model(batch.clamp(min=0)).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), ignore_index=-1)


@torch.no_grad()
def validation_loss(model: PreTrainedModel, rows: list[list[int]], batch_size: int) -> float:
    """Mean next-token cross entropy in nats over the first `CONTEXT` tokens of each story."""
    model.eval()
    losses, counts = [], []
    for begin in range(0, len(rows), batch_size):
        cut = [row[: CONTEXT - 1] for row in rows[begin : begin + batch_size]]
        batch = next(windows(cut, np.random.default_rng(0), len(cut)))
        losses.append(float(loss_of(model, batch)))
        counts.append(int((batch[:, 1:] >= 0).sum()))
    model.train()
    return float(np.average(losses, weights=counts))


def train(
    architecture: str, stories: list[str], out: Path, *, seed: int, epochs: int, batch_size: int, learning_rate: float
) -> dict[str, object]:
    """Trains one model, writes tokenizer, fp16 weights and `training.json` to `out`, and returns that record."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    shuffled = [stories[index] for index in rng.permutation(len(stories))]
    held = max(1, len(shuffled) // 20)
    tokenizer = train_tokenizer(shuffled[held:])
    encoded = [tokenizer(story, add_special_tokens=False)["input_ids"] for story in shuffled]
    validation, training = encoded[:held], encoded[held:]
    model = build_model(architecture)
    steps = epochs * (len(training) // batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.1, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.05)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(out)
    record: dict[str, object] = {
        "architecture": architecture,
        "parameters": model.num_parameters(),
        "training_stories": len(training),
        "validation_stories": len(validation),
        "seed": seed,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }
    best, step, began = math.inf, 0, time.time()
    for epoch in range(epochs):
        for batch in windows(training, rng, batch_size):
            loss = loss_of(model, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
        current = validation_loss(model, validation, batch_size)
        print(
            f"epoch {epoch + 1}/{epochs}  step {step}  training loss {loss.item():.3f}  "
            f"validation perplexity {math.exp(current):.2f}  {time.time() - began:.0f} s",
            flush=True,
        )
        if current < best:
            best = current
            record |= {"steps": step, "validation_perplexity": round(math.exp(best), 3)}
            record["seconds"] = round(time.time() - began)
            save(model, record, out)
        elif current > best + 0.05:
            print("validation loss is rising: stopping", flush=True)
            break
    return record


def save(model: PreTrainedModel, record: dict[str, object], out: Path) -> None:
    """Writes half-precision weights and `training.json`; the configuration asks for float32 when they are loaded."""
    copy.deepcopy(model).half().save_pretrained(out)
    config = json.loads((out / "config.json").read_text())
    config["dtype"] = "float32"
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "training.json").write_text(json.dumps(record, indent=2) + "\n")


def main() -> None:
    """Parses the command line and trains one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", choices=["gpt2", "llama"])
    parser.add_argument("out", type=Path, help="folder for the trained model")
    parser.add_argument("--texts", default="roneneldan/TinyStories", help="stories: .json, .txt or a hub data set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    record = train(
        arguments.architecture,
        read_texts(arguments.texts),
        arguments.out,
        seed=arguments.seed,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
    )
    print(json.dumps(record))


if __name__ == "__main__":
    main()
