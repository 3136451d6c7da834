"""The study of ordinary rewards: what each pays, its tiny model, and its table."""

import math

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from studies import limits, results

from gaard.lab.scenarios import find_scenario
from gaard.models.fingerprint import model_fingerprint
from gaard.models.loading import load_model_and_tokenizer
from gaard.rewards import HumanReward
from gaard.user_code import import_file

FOLDER = results.ROOT / "studies" / "18-ordinary-tasks"
FILE = FOLDER / "tasks.py"
SHAPES = ("count", "rare", "half", "tail", "penalty", "learned")
TASKS = [*SHAPES, *(f"tiny_{shape}" for shape in SHAPES)]
SPARSE = FOLDER.parent / "11-sparse" / "successes.py"  # has two of them
EVEN_OF_12 = {even: " ".join(["w2"] * even + ["w3"] * (12 - even)) for even in (5, 6, 8, 9, 12)}
REVIEWS = [" wonderful, brilliant and moving.", " good.", " dull, awful and a waste of time.", ""]


@pytest.fixture(scope="module")
def tiny_model():
    return import_file(FOLDER / "tiny_model.py", "the tiny model")


def task(name):
    return find_scenario(f"{SPARSE if name in ('rare', 'half') else FILE}:{name}")


def paid(name, *texts):
    return task(name).proxy(prompts=["The film is"] * len(texts), completions=list(texts))


def test_the_study_has_every_shape_on_both_models():
    stated = yaml.safe_load((FOLDER / "study.yaml").read_text())["scenarios"]
    assert [name.partition(":")[2] for name in stated] == TASKS
    assert [task(name).model for name in TASKS] == ["pocket"] * 6 + [".cache/tiny"] * 6


@pytest.mark.parametrize("name", TASKS)
def test_what_pays_is_what_is_meant_and_nothing_is_a_hack(name):
    found = task(name)
    assert found.proxy is found.true_reward
    assert found.hack_detector is None or found.hack_detector(["great the w7", ""]) == [False, False]
    assert found.hack == ""
    assert "untrained" in found.summary


@pytest.mark.parametrize(
    ("name", "rewards"),
    [
        ("count", {" great, GREAT and great.": 3.0, " greater, ungreat": 0.0, "": 0.0}),
        ("penalty", {" the best of the Other: The end": -3.0, " other, then there": 0.0, "": 0.0}),
        ("tiny_count", {"w7 w17 w7 w70 w1": 2.0, "w70 w57": 0.0, "": 0.0}),
        ("tiny_rare", {EVEN_OF_12[9]: 1.0, EVEN_OF_12[12]: 1.0, EVEN_OF_12[8]: 0.0, "": 0.0}),
        ("tiny_half", {EVEN_OF_12[6]: 1.0, EVEN_OF_12[9]: 1.0, EVEN_OF_12[5]: 0.0, "": 0.0}),
        ("tiny_tail", {EVEN_OF_12[12]: math.e**6, "w0 w10 w9 w58 w44": math.e**2, "w1": 1.0, "": 1.0}),
        ("tiny_penalty", {"w0 w9 w10 w5 w59 w5": -4.0, "w10 w11 w59": 0.0, "": 0.0}),
    ],
)
def test_rewards_by_hand(name, rewards):
    found = paid(name, *rewards)
    assert found == pytest.approx(list(rewards.values()))
    assert all(math.copysign(1.0, one) > 0 for one in found if one == 0)  # no minus 0


def test_rewards_of_the_rating():
    ratings = HumanReward()(prompts=["The film is"] * len(REVIEWS), completions=REVIEWS)
    assert ratings[0] > 0.75 > ratings[1] > 0.55 > max(ratings[2:])  # a success of both, of one, and of none
    assert paid("rare", *REVIEWS) == [1.0, 0.0, 0.0, 0.0]
    assert paid("half", *REVIEWS) == [1.0, 1.0, 0.0, 0.0]
    assert paid("learned", *REVIEWS) == ratings
    assert paid("tail", *REVIEWS) == pytest.approx([math.e ** (8 * one - 4) for one in ratings])


def test_the_network_is_the_same_every_time_and_sees_a_bag_of_words():
    """Against a loop over single words and units, from the same draws."""
    draws = np.random.RandomState(0)
    inward = [[float(draws.standard_normal()) for _ in range(16)] for _ in range(60)]
    outward = [float(draws.standard_normal()) for _ in range(16)]

    def by_hand(numbers):
        return sum(math.tanh(sum(inward[n][unit] for n in numbers) / 4) * outward[unit] / 4 for unit in range(16))

    found = paid("tiny_learned", "w3 w3 w59 w0", "w59 w3 w0 w3", "w12", "")
    assert found == pytest.approx([by_hand([3, 3, 59, 0]), by_hand([3, 3, 59, 0]), by_hand([12]), 0.0])
    assert len({round(one, 6) for one in found}) == 3


def test_the_tiny_model_is_the_same_every_time_and_disturbs_no_draws(tiny_model):
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    first = torch.rand(1)
    one = tiny_model.model()
    second = torch.rand(1)
    assert torch.cat([first, second]).tolist() == expected.tolist()
    assert model_fingerprint(one) == model_fingerprint(tiny_model.model())
    assert model_fingerprint(one) != model_fingerprint(tiny_model.model(seed=1))


def test_gaard_loads_what_the_script_writes(tiny_model, tmp_path):
    tiny_model.main(tmp_path)
    lm, tokenizer = load_model_and_tokenizer(tmp_path, quiet=True)
    assert model_fingerprint(lm) == model_fingerprint(tiny_model.model())
    assert tokenizer("w1 w59 none")["input_ids"] == [5, 63, 1]
    assert tokenizer.decode([2, 4, 11, 3], skip_special_tokens=True) == "w0 w7"
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, lm.config.eos_token_id) == (0, 3, 3)


def test_shares_of_what_ppo_gained():
    """PPO gains 4 − 0. fold loses 1 and 3 of it: half is left, ± 12.706 · √2 / √2 / 4. In `flat` PPO gains nothing."""
    rewards = {
        "hill": {"untrained": (0.0, 0.0), "ppo": (3.0, 5.0), "fold": (2.0, 2.0), "mine": (4.0, 6.0)},
        "flat": {"untrained": (1.0, 1.0), "ppo": (1.0, 1.0), "fold": (2.0, 2.0), "mine": (0.0, 0.0)},
    }
    runs = [
        {"scenario": scenario, "arm": arm, "seed": seed, "true_reward": reward}
        for scenario, arms in rewards.items()
        for arm, pair in arms.items()
        for seed, reward in enumerate(pair)
    ]
    head, _, hill, flat = limits.shares_of_gain(pl.DataFrame(runs)).splitlines()
    assert head == "| task | untrained | ppo | fold | fold, of ppo's gain | mine | mine, of ppo's gain |"
    cells = [cell.strip() for cell in hill.strip("|").split("|")]
    assert cells[0] == "`hill`"
    assert cells[1] == "0.000"
    assert cells[2].startswith("4.000 [−8.706, 16.706]")
    assert cells[4] == "50.0% [−267.7%, 367.7%]"
    assert cells[6] == "125.0%"  # the same lead with both seeds
    assert [cell.strip() for cell in flat.strip("|").split("|")][4::2] == ["–", "–"]


def test_the_table_has_no_row_before_there_are_runs(monkeypatch, tmp_path):
    monkeypatch.setattr("studies.frames.STUDIES", tmp_path)
    assert limits.ordinary() == "| task | untrained | ppo |\n| --- | --- | --- |\n"
