"""LoRA: the reference is the model without its adapters, not a second model."""

import copy
import json

import pytest
import torch
from peft import LoraConfig
from safetensors import safe_open
from transformers import AutoModelForCausalLM, LlamaConfig

from gaard import GAAConfig, GAATrainer
from gaard.errors import CheckpointError, ModelError
from gaard.models.loading import load_model_and_tokenizer
from tiny import WORDS, tiny_lm, word_tokenizer, words_reward


def adapted(architecture: str = "llama", **options):
    lm = tiny_lm(architecture)
    torch.manual_seed(1)
    lm.add_adapter(LoraConfig(r=4, **{"target_modules": ["q_proj", "v_proj"], **options}))
    return lm


def lora_trainer(folder, lm, **options):
    settings = dict(max_steps=3, batch_size=16, num_mini_batches=2, max_completion_length=8, learning_rate=3e-2)
    settings |= dict(warmup_steps=0, lr_scheduler_type="constant", progress=False, use_cpu=True, eval_completions=32)
    args = GAAConfig(output_dir=str(folder), **(settings | options))
    return GAATrainer(lm, words_reward, args, ["w1 w2", "w3"], processing_class=word_tokenizer(WORDS))


def logits(lm, ids):
    with torch.no_grad():
        return lm(input_ids=ids).logits


def test_only_the_adapters_train_and_the_reference_is_the_model_without_them(tmp_path):
    lm, base = adapted(), tiny_lm("llama")
    before = {name: parameter.clone() for name, parameter in lm.named_parameters()}
    trainer = lora_trainer(tmp_path, lm)
    assert trainer.reference.lm is lm
    metrics = trainer.train()
    changed = {name for name, parameter in lm.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed
    assert all("lora_" in name for name in changed)
    ids = torch.arange(4, 14)[None]
    positions = torch.arange(10)[None]
    assert (logits(lm, ids) - logits(base, ids)).abs().max() > 0.05  # the policy moved
    with torch.no_grad():
        hidden = trainer.reference.hidden(ids, torch.ones_like(ids), positions)
        torch.testing.assert_close(hidden, base.model(input_ids=ids).last_hidden_state)
    assert metrics["kl_ref"] > 1e-3
    assert logits(lm, ids).sub(logits(base, ids)).abs().max() > 0.05  # and is switched on again


def test_the_same_numbers_as_with_a_copied_reference(tmp_path, monkeypatch):
    rows = []
    for name, share in (("shared", True), ("copied", False)):
        lm = adapted()
        trainer = lora_trainer(tmp_path / name, lm)
        if not share:
            base = copy.deepcopy(trainer.policy)
            base.lm.disable_adapters()
            trainer.reference = trainer.collector.reference = base.requires_grad_(False)
        rows.append([trainer.training_step() for _ in range(3)])
    assert rows[0] == rows[1]


def test_a_run_is_taken_up_although_adapters_start_from_chance(tmp_path):
    whole = lora_trainer(tmp_path / "whole", adapted(), max_steps=4, save_steps=2)
    expected = whole.train()
    half = lora_trainer(tmp_path / "half", adapted(), max_steps=4, save_steps=2)
    monkeypatched = half.training_step

    def stop():
        if half.state.step == 2:
            raise KeyboardInterrupt
        return monkeypatched()

    half.training_step = stop
    with pytest.raises(KeyboardInterrupt):
        half.train()
    lm = tiny_lm("llama")
    torch.manual_seed(99)  # other adapters
    lm.add_adapter(LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    assert lora_trainer(tmp_path / "half", lm, max_steps=4, save_steps=2).train() == expected


def interrupted(folder, lm, after: int, **options):
    """A LoRA run that was stopped after some steps."""
    trainer = lora_trainer(folder, lm, **options)
    step = trainer.training_step
    trainer.training_step = lambda: step() if trainer.state.step < after else (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()


def test_a_run_that_was_stopped_comes_out_byte_for_byte_the_same(tmp_path):
    options = dict(max_steps=5, save_steps=1)
    lora_trainer(tmp_path / "whole", adapted(), **options).train()
    interrupted(tmp_path / "cut", adapted(), 3, **options)
    lora_trainer(tmp_path / "cut", adapted(), **options).train()
    for name in ("metrics.jsonl", "samples.jsonl", "checkpoints/step-000005/policy.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_checkpoint_on_another_base_is_refused(tmp_path):
    interrupted(tmp_path, adapted(), 2, max_steps=4, save_steps=1)
    other = tiny_lm("llama", seed=5)
    other.add_adapter(LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    with pytest.raises(CheckpointError, match="the model's weights changed"):
        lora_trainer(tmp_path, other, max_steps=4, save_steps=1).train()


def keys(path):
    with safe_open(path, "pt") as file:
        return list(file.keys())


def test_a_checkpoint_is_a_small_part_of_the_model(tmp_path):
    sizes = dict(hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4)
    torch.manual_seed(0)
    lm = AutoModelForCausalLM.from_config(LlamaConfig(**sizes, vocab_size=37, bos_token_id=2, eos_token_id=3))
    lm.add_adapter(LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    lora_trainer(tmp_path, lm, max_steps=1, regularizers="reference-resets").train()
    folder = tmp_path / "checkpoints" / "step-000001"
    for name in ("policy.safetensors", "reference.safetensors"):
        assert all("lora_" in key or key.startswith("value_head.") for key in keys(folder / name))
    model = sum(weight.nbytes for weight in lm.parameters())
    assert sum(path.stat().st_size for path in folder.iterdir()) < 0.03 * model


def test_checkpoints_that_hold_the_frozen_weights_too_are_read(tmp_path, monkeypatch):
    """As they were written before."""
    options = dict(max_steps=4, save_steps=2)
    lora_trainer(tmp_path / "whole", adapted(), **options).train()
    with monkeypatch.context() as before:
        before.setattr("gaard.training.checkpoint.frozen_names", lambda model: frozenset())
        interrupted(tmp_path / "cut", adapted(), 2, **options)
    assert any("embed_tokens" in key for key in keys(tmp_path / "cut/checkpoints/step-000002/policy.safetensors"))
    lora_trainer(tmp_path / "cut", adapted(), **options).train()
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut")]
    assert metrics[0] == metrics[1]


def test_a_reference_that_moves_is_other_adapters_on_the_same_weights(tmp_path):
    resets = {"name": "reference-resets", "steps": 2}
    lm = adapted()
    trainer = lora_trainer(tmp_path / "one", lm, regularizers=resets, max_steps=3)
    shared = {id(weight) for weight in lm.parameters() if not weight.requires_grad}
    own = [name for name, weight in trainer.reference.named_parameters() if id(weight) not in shared]
    assert shared
    assert all("lora_" in name or name.startswith("value_head.") for name in own)
    rows = [trainer.training_step() for _ in range(3)]
    assert rows[1]["kl_ref"] > 1e-3
    assert rows[2]["kl_ref"] == pytest.approx(0.0, abs=1e-5)  # of a rollout of the reference itself
    assert trainer.evaluate()["kl_untrained"] > 1e-3


def test_and_gives_the_numbers_of_a_whole_copy(tmp_path):
    resets = {"name": "reference-resets", "steps": 2}
    rows = []
    for name in ("shared", "copied"):
        trainer = lora_trainer(tmp_path / name, adapted(), regularizers=resets, max_steps=5)
        if name == "copied":
            trainer.reference = trainer.collector.reference = copy.deepcopy(trainer.policy).requires_grad_(False)
        rows.append([trainer.training_step() for _ in range(5)])
    assert rows[0] == rows[1]


def test_a_run_whose_reference_moves_goes_on_where_it_was(tmp_path):
    options = dict(max_steps=5, save_steps=1, regularizers={"name": "reference-resets", "steps": 2})
    lora_trainer(tmp_path / "whole", adapted(), **options).train()
    interrupted(tmp_path / "cut", adapted(), 3, **options)
    lora_trainer(tmp_path / "cut", adapted(), **options).train()
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut")]
    assert metrics[0] == metrics[1]


def test_what_is_saved_is_the_adapter_which_transformers_puts_back(tmp_path):
    tiny_lm("llama").save_pretrained(tmp_path / "base")
    lm = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    torch.manual_seed(1)
    lm.add_adapter(LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    trainer = lora_trainer(tmp_path / "run", lm)
    trainer.train()
    trainer.save_model(tmp_path / "saved")
    written = {path.name for path in (tmp_path / "saved").glob("*.safetensors")}
    assert written == {"adapter_model.safetensors", "value_head.safetensors"}
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    ids = torch.arange(4, 14)[None]
    torch.testing.assert_close(logits(again, ids), logits(lm, ids), atol=1e-5, rtol=0)


def test_what_a_shared_reference_could_not_hold_is_refused(tmp_path):
    with pytest.raises(ModelError, match="projection to the vocabulary"):
        lora_trainer(tmp_path, adapted(target_modules=["q_proj", "lm_head"]))
    lm = adapted()
    lm.model.norm.weight.requires_grad_(True)
    with pytest.raises(ModelError, match=r"beside its adapters the model trains model\.norm\.weight"):
        lora_trainer(tmp_path, lm)


@pytest.mark.parametrize("way", ["pissa", "pissa_niter_4", "olora"])
def test_adapters_that_begin_by_changing_the_model_are_refused(tmp_path, way):
    with pytest.raises(ModelError, match=f"init_lora_weights='{way}' changes the weights of the model itself"):
        lora_trainer(tmp_path, adapted(init_lora_weights=way))


@pytest.mark.parametrize("way", ["corda", "loftq", "lora_ga"])
def test_so_are_those_that_need_data_for_it(tmp_path, way):
    lm = adapted()
    lm.peft_config["default"].init_lora_weights = way
    with pytest.raises(ModelError, match=f"init_lora_weights='{way}' changes"):
        lora_trainer(tmp_path, lm)


@pytest.mark.parametrize("way", [True, "gaussian", "orthogonal", False])
def test_before_training_policy_and_reference_are_one(tmp_path, way):
    """Also where the adapter is not nothing at first: then the reference is a copy."""
    lm = adapted(init_lora_weights=way)
    trainer = lora_trainer(tmp_path, lm)
    assert trainer.evaluate()["kl_untrained"] == pytest.approx(0.0, abs=1e-6)
    assert (trainer.reference.lm is lm) == (way is not False)


def saved_run(tmp_path):
    """A LoRA run of a model on the disk, trained and saved."""
    tiny_lm("llama").save_pretrained(tmp_path / "base")
    word_tokenizer(WORDS).save_pretrained(tmp_path / "base")
    lm = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    torch.manual_seed(1)
    lm.add_adapter(LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    trainer = lora_trainer(tmp_path / "run", lm)
    trainer.train()
    trainer.save_model(tmp_path / "saved")
    return trainer


def test_a_saved_adapter_is_loaded_by_its_folder_and_trained_on(tmp_path):
    trainer = saved_run(tmp_path)
    lm, tokenizer = load_model_and_tokenizer(tmp_path / "saved", quiet=True)
    ids = torch.arange(4, 14)[None]
    torch.testing.assert_close(logits(lm, ids), logits(trainer.policy.lm, ids), atol=1e-6, rtol=0)
    assert tokenizer.get_vocab() == trainer.tokenizer.get_vocab()
    assert not lm.training
    assert all(("lora_" in name) == weight.requires_grad for name, weight in lm.named_parameters())
    settings = dict(max_steps=1, batch_size=16, num_mini_batches=2, max_completion_length=8, warmup_steps=0)
    args = GAAConfig(output_dir=str(tmp_path / "next"), progress=False, use_cpu=True, eval_completions=32, **settings)
    again = GAATrainer(str(tmp_path / "saved"), words_reward, args, ["w1 w2", "w3"])
    for name, weight in trainer.policy.value_head.state_dict().items():
        assert torch.equal(again.policy.value_head.state_dict()[name], weight)
    assert again.evaluate()["kl_untrained"] == pytest.approx(0.0, abs=1e-6)
    again.train()
    again.save_model(tmp_path / "twice")
    twice, _ = load_model_and_tokenizer(tmp_path / "twice", quiet=True)
    torch.testing.assert_close(logits(twice, ids), logits(again.policy.lm, ids), atol=1e-6, rtol=0)


def test_a_saved_adapter_without_its_model_is_a_clear_error(tmp_path):
    saved_run(tmp_path)
    (tmp_path / "base").rename(tmp_path / "moved")
    with pytest.raises(ModelError, match=rf"{tmp_path / 'saved'} is an adapter of .*base.*base_model_name_or_path"):
        load_model_and_tokenizer(tmp_path / "saved", quiet=True)
    file = tmp_path / "saved" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": None}))
    with pytest.raises(ModelError, match="names no model"):
        load_model_and_tokenizer(tmp_path / "saved", quiet=True)
    (tmp_path / "saved" / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"it has no adapter_model\.safetensors"):
        load_model_and_tokenizer(tmp_path / "saved", quiet=True)
