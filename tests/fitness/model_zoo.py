"""Small models with random weights, one of each family, and a tokenizer for all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from fitness.scoring.contract import to_prediction

VOCABULARY = 300
WIDE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
SMALL = {"vocab_size": VOCABULARY, "max_position_embeddings": 128} | WIDE
GROUPED = SMALL | {"num_key_value_heads": 2, "head_dim": 8}
GEMMA_LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]

INTERFACE = {
    "gpt2": lambda: tf.GPT2Config(vocab_size=VOCABULARY, n_positions=128, n_embd=32, n_layer=3, n_head=4),
    "llama": lambda: tf.LlamaConfig(**GROUPED),
    "gpt_neox": lambda: tf.GPTNeoXConfig(**SMALL),
    "qwen2": lambda: tf.Qwen2Config(**{k: v for k, v in GROUPED.items() if k != "head_dim"}),
    "qwen3": lambda: tf.Qwen3Config(**GROUPED),
    "mistral": lambda: tf.MistralConfig(**GROUPED, sliding_window=6),
    "gemma2": lambda: tf.Gemma2Config(
        **GROUPED, sliding_window=6, attn_logit_softcapping=0.5, query_pre_attn_scalar=8, layer_types=GEMMA_LAYERS
    ),
}
TAPPED = {
    "gpt_neo": lambda: tf.GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_layers=4,
        num_heads=4,
        attention_types=[[["global", "local"], 2]],
        window_size=6,
        max_position_embeddings=128,
    ),
    "gptj": lambda: tf.GPTJConfig(vocab_size=VOCABULARY, n_positions=128, n_embd=32, n_layer=3, n_head=4, rotary_dim=4),
    "bloom": lambda: tf.BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=3, n_head=4),
    "falcon": lambda: tf.FalconConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, alibi=False
    ),
}
ENCODERS = {"bert": lambda: tf.BertConfig(**SMALL, architectures=["BertForMaskedLM"])}
CAUSAL = {**INTERFACE, **TAPPED}
ALL = {**CAUSAL, **ENCODERS}

STORY = (
    "Once upon a time there was a little fox named Tom. Tom had a red ball, and he loved the ball very much. One day "
    'the ball rolled into the river. "Oh no!" said Tom. "My ball! My red ball!" A kind duck heard him and swam fast.'
)


def build(family: str, attention: str = "eager", **changes: object) -> tf.PreTrainedModel:
    """A model with random weights, the same at every call, made peaky so that its attention is worth a look."""
    torch.manual_seed(0)
    config = ALL[family]()
    config.update(changes)
    auto = tf.AutoModelForMaskedLM if family in ENCODERS else tf.AutoModelForCausalLM
    model = auto.from_config(config, attn_implementation=attention, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(10)
    return model.eval()


def tokenizer() -> tf.PreTrainedTokenizerFast:
    """Byte-level BPE trained on one story, with a begin token at position 0."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|begin|>", "<|pad|>", "<|mask|>"]
    core.train_from_iterator(
        [STORY] * 9,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    core.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 0)])
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<|begin|>",
        eos_token="<|begin|>",
        pad_token="<|pad|>",
        mask_token="<|mask|>",
        model_max_length=128,
    )


def save(family: str, folder: Path, **changes: object) -> Path:
    """Writes a model with random weights and its tokenizer in Hugging Face format."""
    build(family, **changes).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def run_directly(causal: bool = True):
    """A prediction source without a sandbox, for programs that the tests themselves wrote."""

    def source(program, texts):
        return [_predict(program, text, causal) for text in texts]

    return source


def _predict(program, text, causal):
    names: dict[str, object] = {"np": np}
    exec(program.source, names)
    try:
        weights = names["program"](text)  # type: ignore[operator]
    except ZeroDivisionError:
        return None
    return to_prediction(np.asarray(weights), causal=causal)
