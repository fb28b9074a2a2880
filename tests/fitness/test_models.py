"""Models as people have them: their type, device and format, and layers that are not all alike."""

import model_zoo
import numpy as np
import pytest
import torch
import transformers as tf

from fitness.errors import UserError
from fitness.models import loading
from fitness.models.capture import capture
from fitness.models.loading import load, load_model
from fitness.models.size import check_fits, parameter_count
from fitness.models.source import ModelSource, locate

HYBRID = {"num_hidden_layers": 4, "layer_types": ["conv", "full_attention", "conv", "full_attention"]}
SPREAD = ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm", "model.rotary_emb", "lm_head")
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}


def save(config, folder):
    torch.manual_seed(0)
    tf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").save_pretrained(folder)
    model_zoo.tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return str(model_zoo.save("llama", tmp_path_factory.mktemp("llama")))


def test_layers_without_attention_are_left_out_and_named(tmp_path):
    model = save(tf.Lfm2Config(vocab_size=model_zoo.VOCABULARY, **SIZES, **HYBRID), tmp_path / "model")
    attention = capture(model, [model_zoo.STORY], max_tokens=24, cache=tmp_path / "cache")
    assert attention.labels == tuple(f"L{layer}H{head}" for layer in (1, 3) for head in range(4))
    assert attention.left_out == (0, 2)
    assert attention.notes == ("without softmax attention, and left out: layers 0, 2",)
    assert np.allclose(attention.sums(0), 24, rtol=1e-3)


def test_layers_may_differ_in_their_number_of_heads(tmp_path):
    heads = [4, 2, 4]
    sizes = SIZES | {"num_hidden_layers": 3, "head_dim": 8, "num_attention_heads_per_layer": heads}
    model = save(tf.LagunaConfig(vocab_size=model_zoo.VOCABULARY, **sizes), tmp_path / "model")
    attention = capture(model, [model_zoo.STORY], max_tokens=24, cache=tmp_path / "cache")
    assert attention.layers == ((0, 4), (1, 2), (2, 4))
    assert attention.labels == tuple(f"L{layer}H{head}" for layer in range(3) for head in range(heads[layer]))
    with torch.no_grad():
        loaded = load_model(model)[0](torch.tensor(attention.texts[0].ids[None]), output_attentions=True).attentions
    block = np.asarray(attention.block(0), dtype=np.float32)
    expected = torch.cat([layer[0] for layer in loaded]).numpy()[:, np.tri(24, dtype=bool)]
    assert np.abs(block - expected).max() < 1e-3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_model_is_loaded_in_the_type_asked_for(llama, dtype, tmp_path):
    attention = capture(locate(llama, dtype=dtype), [model_zoo.STORY], max_tokens=24, cache=tmp_path)
    assert attention.dtype == dtype
    exact = capture(llama, [model_zoo.STORY], max_tokens=24, cache=tmp_path)
    assert (attention.folder == exact.folder) == (dtype == "float32")
    difference = np.abs(attention.block(0).astype(np.float32) - exact.block(0).astype(np.float32)).max()
    assert difference < {"float32": 1e-9, "bfloat16": 0.1, "float16": 0.02}[dtype]


def test_the_type_auto_is_that_of_the_checkpoint(llama, tmp_path):
    model, tokenizer = load_model(llama)
    assert model.dtype == torch.float32
    model.half().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_model(locate(str(tmp_path), dtype="auto"))[0].dtype == torch.float16
    assert load_model(str(tmp_path))[0].dtype == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named(llama):
    with pytest.raises(UserError, match="device: there is no cuda here; use auto or one of cpu"):
        load_model(locate(llama, device="cuda"))


def test_a_model_of_which_a_part_stays_on_disk_is_captured_the_same(llama, tmp_path, monkeypatch):
    pytest.importorskip("accelerate", reason="the extra `accelerate` is not installed")
    exact = capture(llama, [model_zoo.STORY], max_tokens=24, cache=tmp_path / "exact")
    inside = {"model.layers.2": "disk"} | dict.fromkeys(SPREAD, "cpu")
    spread = locate(llama, device_map="auto")
    monkeypatch.setattr(loading, "placement", lambda *_: {"device_map": inside, "dtype": torch.float32})
    model, _ = load_model(spread)
    assert model.model.layers[2].mlp.up_proj.weight.is_meta, "its weights are read when they are needed"
    again = capture(spread, [model_zoo.STORY], max_tokens=24, cache=tmp_path / "spread")
    assert np.array_equal(again.block(0), exact.block(0))


def test_a_device_map_needs_accelerate(llama, monkeypatch):
    monkeypatch.setattr(loading, "_has_accelerate", lambda: False)
    with pytest.raises(UserError, match=r"pip install 'headscribe\[accelerate\]'"):
        load_model(locate(llama, device_map="auto"))


def test_quantised_checkpoints_are_neither_cast_nor_moved(llama, monkeypatch):
    asked, model = {}, load_model(llama)[0]
    config = model.config
    config.quantization_config = {"quant_method": "bitsandbytes", "load_in_4bit": True}

    def from_pretrained(path, **options):
        asked.update(options)
        return model

    def to(*_, **__):
        raise AssertionError("a quantised model was moved")

    monkeypatch.setattr(tf.AutoConfig, "from_pretrained", lambda *_, **__: config)
    monkeypatch.setattr(tf.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    monkeypatch.setattr(model, "to", to)
    loaded = load(locate(llama))
    assert loaded.quantised == "bitsandbytes"
    assert "dtype" not in asked


def test_a_model_that_does_not_fit_is_refused_before_it_is_read(llama, monkeypatch):
    monkeypatch.setattr("fitness.models.size.free_bytes", lambda device: 1000)
    monkeypatch.setattr(tf.AutoModelForCausalLM, "from_pretrained", None)
    with pytest.raises(UserError, match=r"billion weights of 4 bytes, .* set dtype to bfloat16, or device_map to auto"):
        load_model(llama)


def test_weights_are_counted_from_the_configuration(llama):
    model, _ = load_model(llama)
    assert parameter_count(model.config, tf.AutoModelForCausalLM) == model.num_parameters()
    check_fits(model.num_parameters(), 4, "cpu", "one that fits")


def test_what_is_no_gguf_file_is_refused(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUX")
    with pytest.raises(UserError, match="is no GGUF file"):
        locate(str(tmp_path / "model.gguf"))
    with pytest.raises(UserError, match=r"did you mean the file model\.gguf in it"):
        locate(str(tmp_path))
    with pytest.raises(UserError, match=r"there is no file or folder 'nowhere\.gguf'"):
        locate("nowhere.gguf")


def test_gguf_needs_its_extra(tmp_path, monkeypatch):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr("fitness.models.source._has_gguf", lambda: False)
    with pytest.raises(UserError, match=r"pip install 'headscribe\[gguf\]'"):
        locate(str(tmp_path / "model.gguf"))


def test_a_revision_is_asked_of_the_hub_and_refused_elsewhere(llama, monkeypatch):
    asked = {}

    def model_info(self, model, **options):
        asked.update(options, model=model)
        return type("Info", (), {"sha": "abc"})

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    monkeypatch.setattr("fitness.models.source._has_gguf", lambda: True)
    found = locate("owner/name/file.Q4_0.gguf", revision="main", dtype="bfloat16")
    assert found == ModelSource("owner/name", "abc", gguf="file.Q4_0.gguf", dtype="bfloat16")
    assert locate("owner/name", revision="v1").revision == "abc"
    assert (asked["model"], asked["revision"]) == ("owner/name", "v1")
    with pytest.raises(UserError, match="has no revision 'v1'"):
        locate(llama, revision="v1")


def test_what_a_model_is_known_by_changes_with_its_type_and_file(llama, tmp_path):
    sources = [
        locate(llama),
        locate(llama, dtype="bfloat16"),
        ModelSource("a/b", "1"),
        ModelSource("a/b", "1", gguf="c"),
    ]
    assert len({source.identity for source in sources}) == 4
    assert locate(llama).options == {"local_files_only": True, "trust_remote_code": False}
