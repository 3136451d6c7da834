"""What a run's id has to tell apart: each pair here trains to other numbers."""

import json

import peft
import pytest
from transformers import AutoModelForCausalLM

from gaard import GAAConfig, GAATrainer
from gaard.errors import GaardError
from gaard.training.identity import fingerprint
from gaard.training.optimization import rate_factor
from tiny import WORDS, tiny_config, tiny_lm, tiny_trainer, word_tokenizer, words_reward


def run_id(folder, *, prepare=lambda lm: None, words=WORDS, **config) -> str:
    """The id of a run of a tiny Llama."""
    lm = tiny_lm("llama") if not config else AutoModelForCausalLM.from_config(tiny_config("llama", **config))
    if config:
        lm.load_state_dict(tiny_lm("llama").state_dict())
    prepare(lm)
    args = GAAConfig(str(folder), use_cpu=True)
    trainer = GAATrainer(lm, words_reward, args, ["w1"], processing_class=word_tokenizer(words))
    return fingerprint(json.loads(json.dumps(trainer.record())))


def frozen(lm):
    lm.model.layers[0].requires_grad_(False)


def ends_elsewhere(lm):
    lm.generation_config.eos_token_id = 7


def other_norm(lm):
    lm.config.rms_norm_eps = 0.1


def test_the_same_run_has_the_same_id(tmp_path):
    assert run_id(tmp_path / "a") == run_id(tmp_path / "b")


@pytest.mark.parametrize("prepare", [frozen, ends_elsewhere, other_norm])
def test_what_else_of_a_model_changes_training_changes_the_id(tmp_path, prepare):
    assert run_id(tmp_path / "a") != run_id(tmp_path / "b", prepare=prepare)


def test_another_tokenizer_is_another_run(tmp_path):
    assert run_id(tmp_path / "a") != run_id(tmp_path / "b", words=WORDS[::-1])


def test_adapters_of_other_size_are_other_runs(tmp_path):
    def adapted(**options):
        return lambda lm: lm.add_adapter(peft.LoraConfig(target_modules=["q_proj"], **options))

    ways = [dict(r=4), dict(r=2), dict(r=4, lora_alpha=64)]
    ids = [run_id(tmp_path / str(i), prepare=adapted(**way)) for i, way in enumerate(ways)]
    assert len(set(ids)) == 3
    assert run_id(tmp_path / "again", prepare=adapted(r=4)) == ids[0]


def test_a_critic_that_was_loaded_counts(tmp_path):
    first = tiny_trainer(tmp_path / "first", max_steps=1)
    plain = first.record()["model_setup"]["value_head"]
    first.train()
    first.save_model(tmp_path / "saved")
    args = GAAConfig(str(tmp_path / "second"), use_cpu=True)
    second = GAATrainer(tmp_path / "saved", words_reward, args, ["w1"])
    assert second.record()["model_setup"]["value_head"] != plain


def test_a_run_that_is_done_makes_no_further_step(tmp_path):
    trainer = tiny_trainer(tmp_path, max_steps=2, lr_scheduler_type="linear")
    trainer.train()
    with pytest.raises(GaardError, match="the run is done after step 2"):
        trainer.training_step()
    assert len(trainer.run.log.read("metrics.jsonl")) == 2
    for shape in ("linear", "cosine"):
        config = GAAConfig("x", max_steps=2, warmup_steps=0, lr_scheduler_type=shape)
        assert [round(rate_factor(step, config), 12) for step in (2, 3, 10)] == [0.0, 0.0, 0.0]


def test_measures_are_kept_at_the_end_alone_and_never_of_another_run(tmp_path):
    trainer = tiny_trainer(tmp_path, max_steps=1)
    untrained = trainer.evaluated()
    assert not (tmp_path / "evaluation.json").exists()
    trainer.train()
    measured = trainer.evaluated()
    assert json.loads((tmp_path / "evaluation.json").read_text()) == measured != untrained
    assert tiny_trainer(tmp_path, max_steps=1).evaluated() == measured
    with pytest.raises(GaardError, match="another configuration"):
        tiny_trainer(tmp_path, max_steps=1, seed=5).evaluated()
