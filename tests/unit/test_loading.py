"""From a folder or a file to a model that is ready to sample from, or to a message that says what is wrong."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from gaard.errors import ModelError
from gaard.models.fingerprint import model_fingerprint
from gaard.models.loading import load_model_and_tokenizer
from stored import save_tiny, write_gguf
from tiny import tiny_lm, word_tokenizer

# A local folder


def test_a_folder_gives_the_saved_model_ready_for_batches(tmp_path):
    saved = save_tiny(tmp_path / "m")
    model, tokenizer = load_model_and_tokenizer(tmp_path / "m", quiet=True)
    ids = torch.arange(8)[None]
    torch.testing.assert_close(model(ids).logits, saved(ids).logits, rtol=0, atol=0)
    assert not model.training
    assert model.generation_config.eos_token_id == saved.generation_config.eos_token_id == 3
    assert tokenizer(["hi", "hi yo"], padding=True).input_ids == [[0, 4], [4, 5]]


def test_dtype_is_that_of_every_parameter(tmp_path):
    save_tiny(tmp_path / "m")
    model, _ = load_model_and_tokenizer(str(tmp_path / "m"), dtype=torch.bfloat16, quiet=True)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_loading_leaves_the_random_generator_alone(tmp_path):
    save_tiny(tmp_path / "m")
    write_gguf(tmp_path / "m.gguf", tiny_lm("llama"))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_model_and_tokenizer(tmp_path / "m", quiet=True)
    load_model_and_tokenizer(tmp_path / "m.gguf", quiet=True)
    assert torch.equal(before, torch.get_rng_state())


def test_a_tokenizer_without_pad_token_pads_with_end_of_text(tmp_path):
    lm = save_tiny(tmp_path / "m")
    bare = word_tokenizer(["hi"]).backend_tokenizer
    PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="</s>", padding_side="right").save_pretrained(
        tmp_path / "m"
    )
    model, tokenizer = load_model_and_tokenizer(tmp_path / "m", quiet=True)
    assert (tokenizer.pad_token, tokenizer.padding_side) == ("</s>", "left")
    assert model.config.pad_token_id == lm.config.pad_token_id == 0  # the model keeps its own


def test_a_pad_token_beyond_the_embeddings_is_replaced_as_well(tmp_path):
    save_tiny(tmp_path / "m")
    tokenizer = word_tokenizer(["hi"] + [f"w{i}" for i in range(32)])
    tokenizer.add_special_tokens({"pad_token": "<new>"})
    assert tokenizer.pad_token_id == 37
    tokenizer.save_pretrained(tmp_path / "m")
    _, tokenizer = load_model_and_tokenizer(tmp_path / "m", quiet=True)
    assert tokenizer.pad_token == "</s>"


def test_a_tokenizer_with_nothing_to_pad_with_is_refused(tmp_path):
    save_tiny(tmp_path / "m")
    bare = word_tokenizer(["hi"]).backend_tokenizer
    PreTrainedTokenizerFast(tokenizer_object=bare).save_pretrained(tmp_path / "m")
    with pytest.raises(ModelError, match="set its eos_token"):
        load_model_and_tokenizer(tmp_path / "m", quiet=True)


@pytest.mark.parametrize(("missing", "named"), [("config.json", "config.json"), ("model.safetensors", "safetensors")])
def test_an_incomplete_folder_is_named_with_what_it_lacks(tmp_path, missing, named):
    save_tiny(tmp_path / "m")
    (tmp_path / "m" / missing).unlink()
    with pytest.raises(ModelError, match=rf"{tmp_path / 'm'}.*no .*{named}"):
        load_model_and_tokenizer(tmp_path / "m", quiet=True)


def test_a_folder_without_tokenizer_is_refused_not_given_an_empty_one(tmp_path):
    tiny_lm().save_pretrained(tmp_path / "m")
    with pytest.raises(ModelError, match="no tokenizer files"):
        load_model_and_tokenizer(tmp_path / "m", quiet=True)


def test_missing_weights_are_refused_not_drawn_at_random(tmp_path):
    save_tiny(tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    weights = load_file(file)
    del weights["transformer.ln_f.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 parameters.*transformer\.ln_f\.weight"):
        load_model_and_tokenizer(tmp_path / "m", quiet=True)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_a_model_error(tmp_path, file):
    save_tiny(tmp_path / "m")
    (tmp_path / "m" / file).write_bytes(b"{")
    with pytest.raises(ModelError, match=f"cannot load the model in {tmp_path / 'm'}"):
        load_model_and_tokenizer(tmp_path / "m", quiet=True)


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path):
    save_tiny(tmp_path / "m")
    word_tokenizer([f"w{i}" for i in range(40)]).save_pretrained(tmp_path / "m")
    with pytest.raises(ModelError, match="has 44 tokens, but the model embeds 37"):
        load_model_and_tokenizer(tmp_path / "m", quiet=True)


# A GGUF file


def test_gguf_gives_the_same_logits_and_a_model_that_saves(tmp_path):
    original = tiny_lm("llama", seed=3)
    write_gguf(tmp_path / "m.gguf", original)
    model, tokenizer = load_model_and_tokenizer(tmp_path / "m.gguf", quiet=True)
    ids = torch.arange(20)[None]
    torch.testing.assert_close(model(ids).logits, original(ids).logits, rtol=1e-5, atol=1e-5)
    assert tokenizer("ab").input_ids  # its vocabulary came along
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    again, _ = load_model_and_tokenizer(tmp_path / "saved", quiet=True)
    assert model_fingerprint(again) == model_fingerprint(model)
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_gguf_without_output_weights_keeps_its_embeddings_tied(tmp_path):
    original = tiny_lm("llama")
    original.config.tie_word_embeddings = True
    original.tie_weights()
    write_gguf(tmp_path / "m.gguf", original)
    model, _ = load_model_and_tokenizer(tmp_path / "m.gguf", quiet=True)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_file_that_is_no_gguf_and_one_cut_short(tmp_path):
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ModelError, match=r"text\.gguf is not a GGUF file: it begins with b'hell'"):
        load_model_and_tokenizer(tmp_path / "text.gguf")
    write_gguf(tmp_path / "m.gguf", tiny_lm("llama"))
    (tmp_path / "cut.gguf").write_bytes((tmp_path / "m.gguf").read_bytes()[:-2000])
    with pytest.raises(ModelError, match=r"cut\.gguf .* cannot be read"):
        load_model_and_tokenizer(tmp_path / "cut.gguf", quiet=True)


# The fingerprint


def test_fingerprint_knows_one_changed_weight_and_nothing_else():
    model = tiny_lm()
    first = model_fingerprint(model)
    assert first == model_fingerprint(tiny_lm())
    assert len(first) == 64
    model.train()
    model.config.eos_token_id = 1
    assert model_fingerprint(model) == first
    with torch.no_grad():
        model.transformer.ln_f.bias[3] = torch.nextafter(model.transformer.ln_f.bias[3], torch.tensor(1.0))
    assert model_fingerprint(model) != first


def test_fingerprint_tells_shapes_names_and_dtypes_apart():
    def module(**parameters):
        made = torch.nn.Module()
        for name, value in parameters.items():
            made.register_parameter(name, torch.nn.Parameter(value))
        return made

    zeros = torch.zeros(2, 3)
    variants = [
        module(a=zeros),
        module(b=zeros),
        module(a=zeros.T.contiguous()),
        module(a=zeros.half()),
        module(a=zeros.bfloat16()),
        module(a=torch.tensor(0.0)),
        module(a=zeros, b=zeros),
    ]
    assert len({model_fingerprint(variant) for variant in variants}) == len(variants)
    values = torch.arange(6.0).reshape(3, 2)
    assert model_fingerprint(module(a=values.T)) == model_fingerprint(module(a=values.T.contiguous()))
