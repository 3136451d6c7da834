"""The registry of measures, and all that has to keep step with it."""

import pytest

from gaard.lab.frontier import AT_EQUAL_KL
from gaard.lab.measures import OF_RUN, OF_STEP, OF_TOKEN, compared, on_page, on_terminal
from gaard.rewards import honeypot
from gaard.training.evaluation import MEASURES as EVALUATED
from gaard.training.progress import FIGURES
from tiny import tiny_trainer, words_reward

OF_A_STUDY = ("frontier_area", "seconds_per_step")  # which a single run's evaluation has not
BROUGHT = {"kept": "policy-filtration", "penalty": "chi2", "kl_coef": "pid-kl"}  # by a regularizer alone
LOOKING = ("sigma", "sigma_positive", "sigma_saturated", "greedy_raised", "greedy_advantage")


def test_names_and_ends_are_in_order():
    for measures in (OF_RUN, OF_STEP, OF_TOKEN):
        assert all(name == one.name and one.label and one.meaning for name, one in measures.items())
        assert all(one.low < one.high for one in measures.values())
    assert OF_RUN["hack_rate"].difference_bounds == (-1.0, 1.0)
    assert OF_RUN["hack_rate"].title == "hack rate (share of completions)"
    assert OF_RUN["completion_length"].text(12.345) == "12.3"
    assert [one.name for one in compared()] == [
        *("hack_rate", "true_reward", "judge_reward", "kl_untrained", "frontier_area")
    ]
    assert set(AT_EQUAL_KL) <= OF_RUN.keys() & OF_STEP.keys()


def test_training_evaluates_and_shows_what_is_in_it():
    assert list(OF_RUN) == [*EVALUATED, *OF_A_STUDY]
    assert set(FIGURES) <= {one.name for one in on_terminal(OF_STEP)}


@pytest.mark.parametrize("method", ["ppo", "gaa"])
def test_every_key_that_is_logged_is_in_it_and_every_other_is_logged(tmp_path, method):
    reward = honeypot(words_reward, word="w5")
    trainer = tiny_trainer(tmp_path, reward=reward, method=method, max_steps=1, judge=words_reward, sharpness_steps=1)
    logged = trainer.train()
    assert set(logged) == OF_STEP.keys() - BROUGHT.keys() - (set(LOOKING) if method == "ppo" else set())
    assert set(trainer.evaluate(32)) == OF_RUN.keys() - set(OF_A_STUDY)
    for name, number in logged.items():
        assert OF_STEP[name].low <= number <= OF_STEP[name].high, name


@pytest.mark.parametrize("key", BROUGHT)
def test_what_a_regularizer_brings_is_logged_with_it(tmp_path, key):
    logged = tiny_trainer(tmp_path, method="ppo", regularizers=BROUGHT[key], max_steps=1).train()
    assert logged.keys() & BROUGHT.keys() == {key}
    assert OF_STEP[key].low <= logged[key] <= OF_STEP[key].high
    assert key != "kept" or logged[key] == 0.5


def test_a_sample_has_the_columns_in_it(tmp_path):
    trainer = tiny_trainer(tmp_path, method="gaa", max_steps=1)
    trainer.train()
    columns = trainer.run.log.read("samples.jsonl")[0]["tokens"]
    assert set(columns) - {"text", "greedy", "other", "hack"} == set(OF_TOKEN)
    assert on_page(OF_TOKEN) == list(OF_TOKEN.values())
