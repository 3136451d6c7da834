"""The embedded model and reward: their size, that anyone can load them, and the figures that they were shipped with."""

import hashlib
import json
import math
import time
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gaard.models.loading import load_model_and_tokenizer
from gaard.rewards import HumanReward

ASSETS = Path(str(files("gaard"))) / "assets"
FIGURES = json.loads((ASSETS / "figures.json").read_text())
REVIEWS = [
    "The movie is a great example of how a good story can be told.",
    "The acting was terrible and the plot was predictable.",
    "This film is a must-see for anyone who loves comedy.",
]


def nats_a_token(model, tokenizer, text: str) -> float:
    ids = torch.tensor([[*tokenizer(text).input_ids, tokenizer.eos_token_id]])
    with torch.no_grad():
        return float(model(ids, labels=ids).loss)


@pytest.fixture(scope="module")
def pocket():
    """As a user without gaard would load it."""
    model = AutoModelForCausalLM.from_pretrained(ASSETS / "pocket", dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(ASSETS / "pocket")


def test_all_assets_fit_into_eight_megabytes():
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) <= 8_000_000
    assert not list(ASSETS.rglob("*.bin")) + list(ASSETS.rglob("*.pt"))  # formats that run code


def test_it_writes_english_and_not_word_salad(pocket):
    model, tokenizer = pocket
    for text in REVIEWS:
        words = text.split()
        salad = " ".join(words[::2] + words[1::2])
        assert nats_a_token(model, tokenizer, text) < nats_a_token(model, tokenizer, salad) - 1.0
        assert nats_a_token(model, tokenizer, text) < 4.0  # even odds among its 2,048 tokens are 7.6


def test_texts_survive_the_tokenizer(pocket):
    _, tokenizer = pocket
    for text in [*REVIEWS, "  two  spaces, naïve – “quotes” 🙂\n"]:
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
    assert tokenizer("The").input_ids[0] == tokenizer.bos_token_id


def test_gaard_loads_it_by_name_ready_to_train(tmp_path):
    model, tokenizer = load_model_and_tokenizer("pocket")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert tokenizer.padding_side == "left"
    assert model.config.resid_pdrop == model.config.embd_pdrop == model.config.attn_pdrop == 0
    assert sum(p.numel() for p in model.parameters()) == FIGURES["pocket"]["parameters"]


def test_the_figures_are_those_of_the_files_that_ship():
    found = {name: hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() for name in FIGURES["sha256"]}
    assert found == FIGURES["sha256"]
    assert {"human_reward.safetensors", "pocket/model.safetensors", "pocket/tokenizer.json"} == set(found)


@pytest.mark.parametrize("part", ["people", "written", "all"])
def test_its_perplexity_is_well_below_that_of_five_grams(part):
    row = FIGURES["pocket"]["perplexity"][part]
    assert row["pocket"] < 0.88 * min(row["five_grams_of_words"], row["five_grams_of_tokens"])


def test_the_card_has_the_figures_licences_and_samples():
    card = (ASSETS / "pocket" / "README.md").read_text()
    for row in FIGURES["pocket"]["perplexity"].values():
        assert f"**{row['pocket']:.1f}** | {row['five_grams_of_words']:.1f}" in card
    assert f"{FIGURES['human_reward']['human']['r']:.3f}" in card
    assert all(word in card for word in ("MIT", "Apache-2.0", "Hutto", "SmolLM2-135M-Instruct"))
    samples = card.partition("Twenty samples")[2]
    assert all(f"\n{number}. " in samples for number in range(1, 21))


def test_the_human_reward_agrees_with_people_more_than_the_lexicon_does():
    figures = FIGURES["human_reward"]
    assert figures["human"]["low"] > figures["lexicon"]["high"]
    assert figures["human"]["n"] == figures["lexicon"]["n"] > 1000


def test_the_human_reward_takes_less_than_a_millisecond_a_text():
    reward, texts = HumanReward(), [f"{text} {number}" for number in range(300) for text in REVIEWS]
    best = math.inf
    for _ in range(3):  # the least disturbed of three
        start = time.perf_counter()
        reward.ratings(texts)
        best = min(best, time.perf_counter() - start)
    assert best / len(texts) < 1e-3
