"""Tiny models on the disk, as folders and GGUF files."""

from pathlib import Path

import gguf
import torch

from tiny import tiny_lm, word_tokenizer


def save_tiny(folder: Path, **kwargs) -> torch.nn.Module:
    lm = tiny_lm(**kwargs)
    lm.save_pretrained(folder)
    word_tokenizer(["hi", "yo"]).save_pretrained(folder)
    return lm


def write_gguf(path: Path, lm: torch.nn.Module) -> None:
    """A tiny Llama as llama.cpp's converter writes it: rotary pairs of q and k side by side."""
    config, weights = lm.config, lm.state_dict()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([chr(97 + i) for i in range(26)] + ["ab"] + [f"<{i}>" for i in range(config.vocab_size - 27)])
    writer.add_token_types([1] * config.vocab_size)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in weights.items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        for kind, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if kind in name:
                tensor = tensor.reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), tensor.contiguous().numpy())
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
