"""TRL's own trainers with gaard's fold in them: the same where nothing stands out, and what trains where it does."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from gaard.integrations.trl import safeguarded
from naive_fold import naive_weights
from tiny import tiny_lm, word_tokenizer

WORDS = [f"w{number}" for number in range(33)]


def some_reward(completion_ids, **columns):
    """By the tokens, and far more for one completion."""
    return [sum(ids) / 100 + 20.0 * (number == 3) for number, ids in enumerate(completion_ids)]


def trained(trainer, folder, *, model=None, reward=some_reward, eval_dataset=None, peft_config=None, **options):
    """A trainer after three rollouts of 16 completions, two updates each."""
    config = RLOOConfig if issubclass(trainer, RLOOTrainer) else GRPOConfig
    given = dict(
        output_dir=str(folder), num_generations=8, per_device_train_batch_size=8, generation_batch_size=16, max_steps=6
    )
    given |= dict(max_completion_length=5, logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True)
    given |= dict(use_cpu=True, bf16=False, gradient_checkpointing=False, learning_rate=1e-3, beta=0.0)
    made = trainer(
        model=model or tiny_lm("gpt2"),
        reward_funcs=reward,
        args=config(**given | options),
        train_dataset=Dataset.from_dict({"prompt": ["w1 w2", "w3", "w4 w5", "w6"] * 4}),
        eval_dataset=eval_dataset,
        processing_class=word_tokenizer(WORDS),
        peft_config=peft_config,
    )
    made.train()
    return made


def history(trainer):
    """What was logged, without the clock and gaard's own."""
    clocks = ("step_time", "gaard/turned", "runtime", "per_second")
    return [{key: value for key, value in row.items() if not key.endswith(clocks)} for row in trainer.state.log_history]


@pytest.mark.parametrize("trainer", [GRPOTrainer, RLOOTrainer])
def test_metrics_are_trls_own_with_none_and_where_nothing_stands_out(trainer, tmp_path):
    plain = trained(trainer, tmp_path / "plain")
    none = trained(safeguarded(trainer, method="none"), tmp_path / "none")
    far = trained(safeguarded(trainer, threshold=1e6), tmp_path / "far")
    fold = trained(safeguarded(trainer), tmp_path / "fold")
    assert history(none) == history(plain)
    assert history(far) == history(plain)
    assert history(fold) != history(plain)
    assert not any("gaard/turned" in row for row in none.state.log_history)
    assert [row["gaard/turned"] for row in far.state.log_history if "reward" in row] == [0.0] * 3
    for (name, ours), theirs in zip(far.model.named_parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize("trainer", [GRPOTrainer, RLOOTrainer])
def test_advantages_that_train_are_trls_own_times_the_weights(trainer, tmp_path):
    """TRL logs the advantages as they were; shuffled shares of the others reach the loss."""
    seen = []

    class Watched(trainer):
        def _compute_loss(self, model, inputs):
            seen.append(inputs["advantages"].clone())
            return super()._compute_loss(model, inputs)

    made = trained(safeguarded(Watched), tmp_path, max_steps=2)  # a rollout
    logged, rewards = list(made._logs["advantages"]), list(made._logs["rewards"]["some_reward"])
    expected = torch.tensor(logged) * torch.tensor(naive_weights(rewards, 8))
    assert (expected < torch.tensor(logged)).any()
    torch.testing.assert_close(torch.cat(seen).sort().values, expected.sort().values)


def test_the_kl_that_rloo_takes_off_the_reward_makes_nothing_stand_out(tmp_path):
    """In a group that is paid one number it is all that differs, and as the scale it would turn every success."""
    tiny_lm("gpt2").save_pretrained(tmp_path / "model")  # the reference is loaded from there

    def successes(completion_ids, **columns):
        return [float(number % 2 == 0 and number < 8) for number in range(len(completion_ids))]

    made = trained(safeguarded(RLOOTrainer), tmp_path, model=str(tmp_path / "model"), reward=successes, beta=0.05)
    rows = [row for row in made.state.log_history if "reward" in row]
    assert rows[-1]["kl"] != 0.0
    assert [row["gaard/turned"] for row in rows] == [0.0] * 3
    assert min(naive_weights(list(made._logs["advantages"]), 8)) < 0


def test_an_adapter_is_trained_and_evaluated(tmp_path):
    small = Dataset.from_dict({"prompt": ["w1 w2", "w3"]})
    lora = LoraConfig(r=2, target_modules=["c_attn"], task_type="CAUSAL_LM")
    made = trained(
        safeguarded(GRPOTrainer),
        tmp_path,
        peft_config=lora,
        eval_dataset=small,
        num_generations_eval=1,
        per_device_eval_batch_size=2,
        beta=0.1,
    )
    found = made.evaluate()
    assert found["eval_gaard/turned"] == 0.0
    assert any(row.get("gaard/turned", 0.0) > 0 for row in made.state.log_history)
    moved = [name for name, weight in made.model.named_parameters() if "lora_B" in name and weight.abs().sum() > 0]
    assert moved
    assert not any(weight.requires_grad for name, weight in made.model.named_parameters() if "lora" not in name)
