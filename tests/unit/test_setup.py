"""What a trainer is made of, and what is refused before it trains."""

import math
from dataclasses import dataclass

import pytest
import torch
from transformers import AutoModelForCausalLM

from gaard import GAAConfig, GAATrainer
from gaard.errors import ConfigError, GaardError, ModelError
from gaard.methods import GAA, Observation
from gaard.policy.model import Policy
from gaard.policy.saving import save_policy
from gaard.training.optimization import rate_factor
from gaard.training.setup import eos_token_ids, load
from tiny import EOS, WORDS, tiny_lm, tiny_trainer, word_tokenizer, words_reward


def test_a_half_precision_model_is_trained_in_float32():
    with pytest.warns(UserWarning, match="training it in float32"):
        lm, _ = load(tiny_lm(dtype=torch.bfloat16), word_tokenizer(WORDS))
    assert {weight.dtype for weight in lm.parameters()} == {torch.float32}


def test_a_tokenizer_larger_than_the_model_is_refused():
    with pytest.raises(ModelError, match="the tokenizer has 38 tokens, but the model embeds 37"):
        load(tiny_lm(), word_tokenizer([*WORDS, "more"]))


def test_a_special_token_declared_past_the_embedding_is_let_through():
    """Published models have such; a model loaded by name is let through likewise."""
    tokenizer = word_tokenizer(WORDS)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<late>"]})
    assert len(tokenizer) == 38
    assert load(tiny_lm(), tokenizer)[1] is tokenizer


def test_something_that_is_no_model_is_refused():
    with pytest.raises(ModelError, match="model is a Linear"):
        load(torch.nn.Linear(1, 1), None)


def test_every_token_that_ends_a_completion_counts():
    lm = tiny_lm()
    lm.generation_config.eos_token_id = [7, 5]
    assert eos_token_ids(lm, word_tokenizer(WORDS)) == [EOS, 5, 7]
    lm.generation_config = None
    assert eos_token_ids(lm, word_tokenizer(WORDS)) == [EOS]


def test_a_second_trainer_may_want_another_precision(tmp_path):
    tiny_trainer(tmp_path / "one", max_steps=1).train()
    assert tiny_trainer(tmp_path / "two", max_steps=1, bf16=True).train()["step"] == 1


@pytest.mark.parametrize("broken", ["sampling options without sampling", "none"])
def test_a_generation_config_that_transformers_refuses_does_not_stop_saving(tmp_path, broken):
    lm = tiny_lm()
    if broken == "none":
        lm.generation_config = None
    else:
        lm.generation_config.temperature, lm.generation_config.do_sample = 0.7, False
    save_policy(Policy(lm), word_tokenizer(WORDS), tmp_path / "out")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").config.model_type == "gpt2"


def test_a_model_that_the_disk_does_not_take_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="could not be saved"):
        save_policy(Policy(tiny_lm()), word_tokenizer(WORDS), tmp_path / "file" / "out")


def test_the_learning_rate_warms_up_and_decays():
    def factors(kind: str) -> list[float]:
        config = GAAConfig("x", max_steps=10, warmup_steps=2, lr_scheduler_type=kind)
        return [rate_factor(step, config) for step in (0, 1, 2, 6, 9)]

    warm = [1 / 3, 2 / 3]
    assert factors("constant") == pytest.approx([*warm, 1, 1, 1])
    assert factors("linear") == pytest.approx([*warm, 1, 0.5, 0.125])
    assert factors("cosine") == pytest.approx([*warm, 1, 0.5, 0.5 + 0.5 * math.cos(math.pi * 7 / 8)])


def test_a_gradient_that_is_not_finite_stops_training_with_the_work_kept(tmp_path, monkeypatch):
    """In the middle of step 3: the step ends with the updates that it had, and is saved."""
    trainer = tiny_trainer(tmp_path, max_steps=6, save_steps=100)
    clip, calls = trainer.accelerator.clip_grad_norm_, []

    def broken(*args):
        calls.append(clip(*args))
        return calls[-1] * (math.nan if len(calls) == 11 else 1.0)  # 4 updates a step

    monkeypatch.setattr(trainer.accelerator, "clip_grad_norm_", broken)
    with pytest.raises(GaardError, match="gradient of step 3 is not finite"):
        trainer.train()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000003"]
    again = tiny_trainer(tmp_path, max_steps=6, save_steps=100)
    assert again.train()["step"] == 6
    assert all(torch.isfinite(weight).all() for weight in again.policy.parameters())


def test_rewards_that_are_all_the_same_do_not_move_the_policy(tmp_path):
    """Whitening would blow up the critic's noise to a full gradient."""
    trainer = tiny_trainer(
        tmp_path,
        reward=lambda completions, **_: [0.7] * len(completions),
        max_steps=20,
        kl_coef=0.0,
        advantages={"vf_coef": 0.0},
    )
    trainer.train()
    for name, weight in trainer.policy.lm.state_dict().items():
        assert torch.equal(weight, trainer.reference.lm.state_dict()[name]), name


def test_measuring_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="eval_completions=0"):
        tiny_trainer(tmp_path).evaluate(0)


def test_a_torn_evaluation_is_measured_again(tmp_path):
    trainer = tiny_trainer(tmp_path, max_steps=1)
    trainer.train()
    measures = trainer.evaluated()
    (tmp_path / "evaluation.json").write_text("{")
    assert trainer.evaluated() == measures


def test_measures_taken_before_training_are_not_those_after_it(tmp_path):
    trainer = tiny_trainer(tmp_path, max_steps=1)
    assert trainer.evaluated()["kl_untrained"] == 0
    trainer.train()
    assert trainer.evaluated()["kl_untrained"] > 0
    again = tiny_trainer(tmp_path, max_steps=1)
    again.train()  # nothing is left to do, and what was measured stays
    assert (tmp_path / "evaluation.json").exists()


def test_a_pad_token_past_the_embedding_is_refused():
    """It is written behind what has ended, and looked up there."""
    tokenizer = word_tokenizer(WORDS)
    tokenizer.add_special_tokens({"pad_token": "<late>"})
    assert tokenizer.pad_token_id == 37
    with pytest.raises(ModelError, match="pad token has id 37, but the model embeds 37"):
        load(tiny_lm(), tokenizer)


def test_a_prompt_with_a_token_past_the_embedding_is_a_clear_error(tmp_path):
    tokenizer = word_tokenizer(WORDS)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<late>"]})
    settings = dict(batch_size=4, num_mini_batches=1, max_completion_length=4, use_cpu=True, progress=False)
    args = GAAConfig(output_dir=str(tmp_path), **settings)
    with pytest.raises(ModelError, match=r"train_dataset\[1\] has the token 37, but the model embeds 37"):
        GAATrainer(tiny_lm(), words_reward, args, ["w1", "w1 <late>"], processing_class=tokenizer)


@dataclass(frozen=True)
class Candidates(GAA):
    """It wants more tokens valued than there are."""

    name = "candidates"

    @property
    def observes(self):
        return Observation(greedy_branch=True, candidates=38)


def test_more_candidates_than_tokens_are_a_clear_error(tmp_path):
    trainer = tiny_trainer(tmp_path, method=Candidates())
    with pytest.raises(ConfigError, match="the method asks for 38 candidates of 37 tokens: ask for fewer"):
        trainer.train()
