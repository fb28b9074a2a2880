import json
import logging
import subprocess
import sys

import model_zoo
import numpy as np
import pytest
import torch

from fitness.errors import UserError
from fitness.models.attention import DATA, META, Attention, CorruptCacheError, checksum, open_attention
from fitness.models.capture import batches, capture
from fitness.models.capture_folder import DONE
from fitness.models.loading import Reader, load_model
from fitness.models.observe import inspect_heads, observe_batch, observe_text
from fitness.models.source import locate
from fitness.scoring.packing import unpack

STORIES = [model_zoo.STORY, "Tom had a ball. He loved it.", "A duck swam fast, and Tom said no!"]


@pytest.fixture(scope="module")
def tokenizer():
    return model_zoo.tokenizer()


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return str(model_zoo.save("llama", tmp_path_factory.mktemp("llama")))


def by_output_attentions(model, ids):
    with torch.no_grad():
        return [layer[0] for layer in model(torch.tensor([ids]), output_attentions=True).attentions]


@pytest.mark.parametrize("family", model_zoo.ALL)
def test_observed_weights_are_those_of_output_attentions(family, tokenizer):
    model, ids = model_zoo.build(family), Reader(tokenizer).encode(model_zoo.STORY, 40)[0]
    seen = {}
    observe_text(model, ids, lambda layer, weights: seen.__setitem__(layer, weights[0]))
    expected = by_output_attentions(model, ids)
    assert sorted(seen) == list(range(len(expected)))
    assert all(torch.allclose(seen[layer], weights, atol=1e-6) for layer, weights in enumerate(expected))


def test_sdpa_models_are_observed_the_eager_way_and_left_as_they_were(tokenizer):
    ids = Reader(tokenizer).encode(model_zoo.STORY, 40)[0]
    model, seen = model_zoo.build("llama", "sdpa"), []
    observe_text(model, ids, lambda layer, weights: seen.append(weights[0]))
    expected = by_output_attentions(model_zoo.build("llama"), ids)
    assert max(float((a - b).abs().max()) for a, b in zip(seen, expected, strict=True)) < 1e-5
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "qwen3", "gemma2", "gpt_neo", "bert"])
def test_cache_holds_what_output_attentions_gives(family, tmp_path):
    folder = model_zoo.save(family, tmp_path / "model")
    attention = capture(str(folder), STORIES, max_tokens=40, cache=tmp_path / "cache")
    model = model_zoo.build(family)
    assert attention.causal == (family != "bert")
    for index, text in enumerate(attention.texts):
        whole = unpack(attention.block(index), text.n, causal=attention.causal).astype(np.float32)
        expected = torch.cat(by_output_attentions(model, text.ids.tolist())).numpy()
        assert whole.shape == (sum(heads for _, heads in attention.layers), text.n, text.n)
        assert np.abs(whole - expected).max() < 1e-3
        assert np.allclose(attention.sums(index), text.n, rtol=1e-3)
        assert np.allclose(attention.sums(index), np.asarray(attention.block(index), np.float64).sum(axis=1))


def test_labels_follow_layer_and_head(llama, tmp_path):
    attention = capture(llama, STORIES, max_tokens=40, cache=tmp_path)
    assert attention.labels[:5] == ("L0H0", "L0H1", "L0H2", "L0H3", "L1H0")
    assert len(attention) == 3
    assert attention.truncated == 1


def test_same_model_texts_and_length_are_captured_once(llama, tmp_path):
    calls = []
    first = capture(llama, STORIES, max_tokens=40, cache=tmp_path, progress=lambda *done: calls.append(done))
    second = capture(llama, STORIES, max_tokens=40, cache=tmp_path, progress=lambda *done: calls.append(done))
    assert calls == [(0, 3), (0, 3), (1, 3), (2, 3), (3, 3)]
    assert second.folder == first.folder
    assert capture(llama, STORIES, max_tokens=39, cache=tmp_path).folder != first.folder
    assert capture(llama, STORIES[::-1], max_tokens=40, cache=tmp_path).folder != first.folder


def test_other_weights_in_the_same_folder_are_captured_anew(tmp_path):
    folder = model_zoo.save("gpt2", tmp_path / "model")
    first = capture(str(folder), STORIES, max_tokens=40, cache=tmp_path / "cache")
    model = model_zoo.build("gpt2")
    with torch.no_grad():
        model.transformer.wte.weight.mul_(2)
    model.save_pretrained(folder)
    assert capture(str(folder), STORIES, max_tokens=40, cache=tmp_path / "cache").folder != first.folder


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip_a_byte(folder / DATA),
        lambda folder: (folder / DATA).write_bytes(b""),
        lambda folder: (folder / META).unlink(),
        lambda folder: (folder / META).write_text("{"),
    ],
)
def test_damaged_cache_is_noticed_and_captured_again(llama, tmp_path, caplog, damage):
    first = capture(llama, STORIES, max_tokens=40, cache=tmp_path)
    block = np.array(first.block(1))
    del first
    folder = next(path for path in tmp_path.iterdir())
    damage(folder)
    with caplog.at_level(logging.WARNING, "headscribe"):
        again = capture(llama, STORIES, max_tokens=40, cache=tmp_path)
    assert "damaged attention cache" in caplog.text
    assert np.array_equal(again.block(1), block)


def stop_after(texts):
    def stop(done, total):
        if done >= texts:
            raise KeyboardInterrupt

    return stop


def test_capture_that_finished_no_batch_leaves_nothing_behind(llama, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        capture(llama, STORIES, max_tokens=40, cache=tmp_path, progress=stop_after(0))
    assert list(tmp_path.iterdir()) == []


def test_interrupted_capture_goes_on_after_the_last_finished_batch(llama, tmp_path, monkeypatch):
    whole = capture(llama, STORIES, max_tokens=40, cache=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        capture(llama, STORIES, max_tokens=40, cache=tmp_path / "cut", progress=stop_after(2))
    (making,) = (tmp_path / "cut").iterdir()
    with (making / DONE).open("a") as done:
        done.write('{"texts": [2], "sha')  # killed while it wrote the line
    ran = []
    monkeypatch.setattr(
        "fitness.models.capture.observe_batch",
        lambda model, ids, see: ran.append(ids) or observe_batch(model, ids, see),
    )
    resumed = capture(llama, STORIES, max_tokens=40, cache=tmp_path / "cut")
    assert len(ran) == 1
    assert resumed.folder.name == whole.folder.name
    assert checksum(resumed.folder / DATA) == checksum(whole.folder / DATA)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [whole.folder.name]


def test_a_finished_batch_that_was_damaged_meanwhile_is_captured_again(llama, tmp_path):
    whole = capture(llama, STORIES, max_tokens=40, cache=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        capture(llama, STORIES, max_tokens=40, cache=tmp_path / "cut", progress=stop_after(2))
    (making,) = (tmp_path / "cut").iterdir()
    with (making / DATA).open("r+b") as data:
        data.write(b"lost")
    resumed = capture(llama, STORIES, max_tokens=40, cache=tmp_path / "cut")
    assert checksum(resumed.folder / DATA) == checksum(whole.folder / DATA)


def test_two_processes_capture_once(llama, tmp_path):
    code = (
        "import sys, json; from pathlib import Path; from fitness.models.capture import capture; calls = []; "
        "capture(sys.argv[1], json.loads(sys.argv[3]), max_tokens=40, cache=Path(sys.argv[2]), "
        "progress=lambda *done: calls.append(done)); print(len(calls))"
    )
    command = [sys.executable, "-c", code, llama, str(tmp_path), json.dumps(STORIES)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(int(process.communicate()[0]) for process in both) == [0, 5]


def test_texts_of_equal_length_run_together_and_all_texts_run_once():
    lengths = [5, 9, 5, 5, 9, 7]
    assert batches(lengths, most_tokens=10) == [[0, 2], [1], [3], [4], [5]]
    assert batches(lengths, most_tokens=1000) == [[0, 2, 3], [1, 4], [5]]


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neo"])
def test_what_a_text_is_captured_beside_does_not_show(family, tmp_path):
    folder = str(model_zoo.save(family, tmp_path / "model"))
    texts = [f"Tom {i} had a red ball. He loved the red ball." for i in range(6)]
    together = capture(folder, texts, max_tokens=12, cache=tmp_path / "cache")
    alone = capture(folder, texts[3:4], max_tokens=12, cache=tmp_path / "cache")
    difference = together.block(3).astype(np.float32) - alone.block(0).astype(np.float32)
    assert np.abs(difference).max() <= 2**-11  # one unit in the last place of a float16 below 1


def test_incomplete_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="attention cache unreadable"):
        open_attention(tmp_path)
    with pytest.raises(CorruptCacheError):
        Attention(tmp_path)


def test_opening_needs_no_torch(llama, tmp_path):
    folder = capture(llama, STORIES, max_tokens=40, cache=tmp_path).folder
    code = (
        "import sys; from pathlib import Path; from fitness.models.attention import open_attention; "
        "print(len(open_attention(Path(sys.argv[1]))), 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["3", "False", "False"]


def test_tokens_are_those_that_the_model_sees_with_their_spaces(tokenizer):
    reader = Reader(tokenizer)
    ids, cut = reader.encode("Tom had a ball.", 40)
    text = reader.text(ids)
    assert not cut
    assert text.tokens[0] == "<|begin|>"
    assert "".join(text.tokens[1:]) == text.string == "Tom had a ball."
    assert " a" in text.tokens


def test_characters_cut_into_bytes_do_not_break_a_text(tokenizer):
    reader = Reader(tokenizer)
    text = reader.text(reader.encode("Tom 🦊!", 40)[0])
    assert text.string == "Tom 🦊!"
    assert text.tokens[-1] == "!"


def test_word_pieces_and_sentence_pieces_get_their_spaces():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = Tokenizer(models.WordPiece({"[UNK]": 0, "play": 1, "##ing": 2, "ball": 3, ".": 4}, unk_token="[UNK]"))
    pieces.pre_tokenizer, pieces.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
    reader = Reader(PreTrainedTokenizerFast(tokenizer_object=pieces, unk_token="[UNK]"))
    assert reader.text([1, 2, 3, 4]).tokens == ("play", "ing", " ball", ".")
    metaspace = Tokenizer(models.Unigram([("<unk>", 0.0), ("\u2581Tom", -1.0), ("my", -1.0), ("<0x0A>", -2.0)], 0))
    metaspace.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    reader = Reader(PreTrainedTokenizerFast(tokenizer_object=metaspace))
    assert reader.text([1, 2, 3]).tokens == (" Tom", "my", "\n")


def message_of(call, *arguments, **options):
    with pytest.raises(UserError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unknown_folder_is_named(tmp_path):
    assert "there is no file or folder './nowhere'" in message_of(locate, "./nowhere")
    assert "holds no config.json" in message_of(locate, str(tmp_path))


def test_unreachable_hub_is_said_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(
        "huggingface_hub.HfApi.model_info", lambda *_, **__: (_ for _ in ()).throw(OSError("no network"))
    )
    assert "the hub cannot be reached (no network)" in message_of(locate, "somebody/some-model")


def test_broken_weights_are_one_line(tmp_path):
    folder = model_zoo.save("gpt2", tmp_path)
    (folder / "model.safetensors").write_bytes(b"nonsense")
    assert "cannot be loaded" in message_of(load_model, str(folder))
    (folder / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))
    assert "cannot be loaded" in message_of(load_model, str(folder))


def test_encoder_decoders_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    assert "an encoder and a decoder" in message_of(load_model, str(tmp_path))


def test_encoders_come_with_their_masked_language_model_head(tmp_path):
    model, _ = load_model(str(model_zoo.save("bert", tmp_path)))
    assert type(model).__name__ == "BertForMaskedLM"


def test_texts_longer_than_the_context_are_refused(tmp_path):
    folder = model_zoo.save("gpt2", tmp_path / "model", n_positions=16)
    text = message_of(capture, str(folder), STORIES, max_tokens=40, cache=tmp_path / "cache")
    assert text == "max_tokens: a text has 40 tokens, but the model takes 16; set at most 16"


def test_texts_of_one_token_are_refused_and_counted(llama, tmp_path):
    text = message_of(capture, llama, [*STORIES, "", ""], max_tokens=40, cache=tmp_path)
    assert "2 of 5 have fewer than two tokens" in text
    assert "there are none" in message_of(capture, llama, [], max_tokens=40, cache=tmp_path)


def test_cache_that_cannot_be_written_is_named(llama, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "attention cache: cannot write to" in message_of(
        capture, llama, STORIES, max_tokens=40, cache=blocked / "cache"
    )


def test_models_without_attention_are_refused():
    from transformers import AutoModelForCausalLM, MambaConfig

    config = MambaConfig(vocab_size=300, hidden_size=16, state_size=4, num_hidden_layers=2)
    with pytest.raises(UserError, match=r"does not use transformers' attention interface|shows no attention"):
        inspect_heads(AutoModelForCausalLM.from_config(config).eval())


def test_mask_stays_causal_inside_the_route():
    assert inspect_heads(model_zoo.build("llama")).causal
    assert not inspect_heads(model_zoo.build("bert")).causal
