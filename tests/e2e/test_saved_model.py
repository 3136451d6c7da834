"""What save_model leaves is a plain transformers folder, with the critic beside it."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gaard import GAAConfig, GAATrainer
from gaard.errors import ModelError
from tiny import tiny_trainer


@pytest.fixture
def trained(tmp_path):
    trainer = tiny_trainer(tmp_path / "run", max_steps=5, learning_rate=5e-3)
    trainer.train()
    before = {name: weight.clone() for name, weight in trainer.policy.state_dict().items()}
    trainer.save_model(tmp_path / "out")
    after = trainer.policy.state_dict()  # saving changes nothing that goes on being trained
    assert all(
        torch.equal(after[name], weight) and after[name].dtype == weight.dtype for name, weight in before.items()
    )
    return trainer


def test_plain_transformers_loads_it_and_says_the_same(trained, tmp_path):
    lm = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    for name, weight in trained.policy.lm.state_dict().items():
        assert torch.equal(lm.state_dict()[name], weight), name
    assert not torch.equal(lm.get_input_embeddings().weight, trained.reference.lm.get_input_embeddings().weight)
    inputs = tokenizer(["w1 w2 w3"], return_tensors="pt")
    wanted = dict(max_new_tokens=12, do_sample=False)
    said, own = (
        m.generate(inputs["input_ids"], attention_mask=inputs["attention_mask"], **wanted)
        for m in (lm, trained.policy.lm)
    )
    assert tokenizer.batch_decode(said) == trained.tokenizer.batch_decode(own)


def test_the_critic_comes_back(trained, tmp_path):
    args = GAAConfig(output_dir=str(tmp_path / "next"), use_cpu=True, progress=False)
    again = GAATrainer(str(tmp_path / "out"), lambda completions, **_: [0.0] * len(completions), args, ["w1"])
    for name, weight in trained.policy.value_head.state_dict().items():
        assert torch.equal(again.policy.value_head.state_dict()[name], weight)
    hidden = torch.randn(3, 32)
    assert torch.equal(again.policy.values(hidden), trained.policy.values(hidden))


def test_a_critic_of_another_size_is_refused(trained, tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1, 7), "bias": torch.zeros(1)}, tmp_path / "out" / "value_head.safetensors")
    args = GAAConfig(output_dir=str(tmp_path / "next"), use_cpu=True)
    with pytest.raises(ModelError, match=r"value_head\.safetensors is not the value head of this model"):
        GAATrainer(str(tmp_path / "out"), lambda completions, **_: [0.0], args, ["w1"])
