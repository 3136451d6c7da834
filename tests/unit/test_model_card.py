"""The model card: what it says of a run, what it does not claim to know, and whose README it leaves alone."""

import re

import pytest
import yaml
from huggingface_hub import ModelCard
from peft import LoraConfig

from gaard import GAAConfig, GAATrainer
from gaard.errors import ModelError
from gaard.integrations.transformers import GaardMonitor
from gaard.monitor import Alarm
from gaard.rewards import honeypot
from gaard.training.card import Known, model_card
from gaard.version import __version__
from tiny import WORDS, tiny_lm, tiny_trainer, word_tokenizer, words_reward

BAITED = honeypot(words_reward, word="bait")


def saved(trainer, folder):
    trainer.save_model(folder)
    return (folder / "README.md").read_text(encoding="utf-8")


def row(card, name):
    """The cells behind a row's name."""
    return re.search(rf"^\| {re.escape(name)} \| (.*) \|$", card, re.MULTILINE)[1].split(" | ")


def header(card):
    return yaml.safe_load(card.split("---\n")[1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Three steps of fold on a reward with a honeypot."""
    folder = tmp_path_factory.mktemp("trained")
    method = {"name": "fold", "threshold": 2.5}
    trainer = tiny_trainer(folder / "run", max_steps=3, seed=5, reward=BAITED, method=method, regularizers=["sam"])
    return trainer, trainer.train(), trainer.evaluated(), saved(trainer, folder / "out"), folder / "out" / "README.md"


def test_it_says_what_was_trained_and_what_came_of_it(trained):
    _, last, measures, card, _ = trained
    assert row(card, "method") == ["fold (threshold 2.5)"]
    assert row(card, "regularizers") == ["sam (radius 0.01)"]
    assert row(card, "rewards") == [BAITED.name.replace("|", "\\|")]
    assert row(card, "true reward") == ["0.5*words_reward"]
    assert row(card, "hack detector") == ["that of the honeypots"]
    assert "'bait'" in row(card, "honeypots")[0]
    assert row(card, "steps") == ["3 of 3, each of 16 completions"]
    assert row(card, "seed") == ["5"]
    assert row(card, "data set")[0].startswith("3 prompts, sha256 ")
    assert row(card, "gaard")[0].startswith(__version__)
    assert row(card, "measure") == ["last step (16 completions)", "after training (32 fresh completions)"]
    assert row(card, "hack rate") == [f"{last['hack_rate']:.1%}", f"{measures['hack_rate']:.1%}"]
    assert row(card, "mean true reward") == [f"{last['true_reward']:.3f}", f"{measures['true_reward']:.3f}"]
    assert row(card, "KL to the reference, nats a token") == [f"{last['kl_ref']:.3f}", "–"]
    assert row(card, "KL to the untrained model, nats a token") == ["–", f"{measures['kl_untrained']:.3f}"]
    assert row(card, "entropy, nats a token") == [f"{last['entropy']:.3f}", f"{measures['entropy']:.3f}"]


def test_the_hub_reads_its_header(trained):
    data = ModelCard.load(trained[-1]).data
    assert (data.library_name, data.pipeline_tag) == ("transformers", "text-generation")
    assert data.tags == ["gaard", "reinforcement-learning", "fold"]
    assert data.base_model is None  # the model was made in memory


def test_what_nobody_knows_is_a_dash_and_no_zero(tmp_path):
    card = saved(tiny_trainer(tmp_path / "run", max_steps=1), tmp_path / "out")
    for name in ("hack rate", "entropy, nats a token", "length, tokens", "mean proxy reward"):
        assert row(card, name) == ["–", "–"], name
    for name in ("hack detector", "honeypots", "true reward", "base model"):
        assert row(card, name)[0] == "–"
    assert "– (nothing watched the run" in card


def test_a_truth_that_nobody_declared_is_not_known_after_training_too(tmp_path):
    trainer = tiny_trainer(tmp_path / "run", max_steps=1)
    trainer.train()
    trainer.evaluated()
    card = saved(trainer, tmp_path / "out")
    assert row(card, "hack rate") == ["–", "–"]
    assert "–" not in row(card, "entropy, nats a token")


def test_measures_of_another_step_are_not_told(tmp_path):
    trainer = tiny_trainer(tmp_path / "run", max_steps=2)
    trainer.training_step()
    trainer.evaluated()
    trainer.training_step()
    assert row(saved(trainer, tmp_path / "out"), "entropy, nats a token")[1] == "–"


def test_alarms_of_a_monitor_and_of_who_else_looked(tmp_path):
    monitor = GaardMonitor()
    trainer = tiny_trainer(tmp_path / "run", max_steps=1, callbacks=[monitor])
    trainer.train()
    assert saved(trainer, tmp_path / "out").endswith("## Alarms\n\nNone.\n")
    monitor.monitor.alarms.append(Alarm("words", 1, "texts with the word 'a|b' are paid more"))
    trainer.save_card(tmp_path / "out", ["and another"])
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.endswith("- step 1: texts with the word 'a\\|b' are paid more\n- and another\n")


def test_an_adapter_says_that_it_is_one(tmp_path):
    args = GAAConfig(str(tmp_path / "run"), batch_size=4, num_mini_batches=1, use_cpu=True, progress=False)
    parts = {"processing_class": word_tokenizer(WORDS), "peft_config": LoraConfig(r=2)}
    card = saved(GAATrainer(tiny_lm(), words_reward, args, ["w1"], **parts), tmp_path / "out")
    assert "An adapter of" in card
    assert "needs peft" in card
    assert header(card)["tags"][-1] == "peft"


def test_a_readme_of_the_users_own_is_left_alone(tmp_path):
    trainer = tiny_trainer(tmp_path / "run", max_steps=1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("mine")
    assert saved(trainer, tmp_path / "out") == "mine"
    first = saved(trainer, tmp_path / "other")
    trainer.train()
    assert saved(trainer, tmp_path / "other") != first  # its own it writes anew


def test_a_card_that_the_disk_does_not_take_is_a_clear_error(tmp_path):
    (tmp_path / "out" / "README.md").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"model card .*README\.md could not be written"):
        tiny_trainer(tmp_path / "run", max_steps=1).save_model(tmp_path / "out")


def known(trainer, **config):
    record = trainer.record()
    return Known({**record, "config": {**record["config"], **config}}, 0, {}, {}, None, False)


@pytest.mark.parametrize(
    ("model", "shown", "in_header"),
    [
        ("org/model", "org/model", "org/model"),
        ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("pocket", "pocket", None),
        ("{folder}", "here", None),
    ],
)
def test_the_model_below_is_named_without_the_way_to_it(model, shown, in_header, trained, tmp_path):
    (tmp_path / "here").mkdir()
    card = model_card(known(trained[0], model=model.format(folder=tmp_path / "here")))
    assert row(card, "base model") == [shown]
    assert header(card).get("base_model") == in_header
    assert str(tmp_path) not in card


def test_a_data_set_of_the_hub_is_in_the_header(trained, tmp_path):
    card = model_card(known(trained[0], prompts="owner/texts:train"))
    assert header(card)["datasets"] == ["owner/texts"]
    assert row(card, "data set")[0].startswith("owner/texts:train, 3 prompts")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "prompts.txt").write_text("w1")
    card = model_card(known(trained[0], prompts=str(tmp_path / "secret" / "prompts.txt")))
    assert "secret" not in card
    assert row(card, "data set")[0].startswith("prompts.txt, ")


def test_a_name_breaks_no_table(trained):
    record = trained[0].record()
    rewards = {**record["rewards"], "proxy": "one\n| two | <b>"}
    card = model_card(Known({**record, "rewards": rewards}, 0, {}, {}, None, False))
    assert "| rewards | one \\| two \\| &lt;b> |" in card
