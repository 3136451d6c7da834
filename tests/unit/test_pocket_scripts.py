"""How the embedded world is built: its rivals, the split, and a training that can be interrupted."""

import math
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "pocket"))

import corpus
import language_model
import reviews
from kneser_ney import KneserNey, WordModel, word_count
from ratings import Sentence

TEXT = "the film is good . the film is bad . a film was good . the plot is the film . a plot was bad and long ."


def test_probabilities_of_kneser_ney_sum_to_one():
    model = KneserNey([TEXT.split()], order=3)
    symbols = [*model._counts[0][()], "never seen"]
    for context in [("the", "film"), ("film", "never"), ("never", "seen"), ("<s>", "<s>"), ("film", "is")]:
        assert sum(model.probability(context, symbol) for symbol in symbols) == pytest.approx(1.0)


def test_a_bigram_by_hand():
    """Text a b a b a c and its end. Bigrams: a b twice, and once each <s> a, b a twice, a c, c </s>.

    Counts of bigrams: n1 = 3 (<s> a, a c, c </s>), n2 = 2 (a b, b a), so Y = 3/7, D1 = 1 − 2·Y·2/3 = 3/7, and with n3
    taken as 1, D2 = 2 − 3·Y·1/2 = 19/14. Lower order: in how many contexts a symbol stands: a 2 (<s>, b), b 1, c 1,
    </s> 1; n1 = 3, n2 = 1, Y = 3/5, D1 = 1 − 2·Y/3 = 3/5, D2 = 2 − 3·Y·1/1 = 1/5; total 5, freed 3·3/5 + 1/5 = 2;
    uniform over 4 symbols and the unknown. p(b) = (1 − 3/5)/5 + 2/5·1/5 = 4/25. After a: b twice, c once, total 3,
    freed 19/14 + 3/7 = 25/14. p(b | a) = (2 − 19/14)/3 + 25/14/3·4/25 = 3/14 + 2/21 = 13/42.
    """
    model = KneserNey([list("ababac")], order=2)
    assert model.probability((), "b") == pytest.approx(4 / 25)
    assert model.probability(("a",), "b") == pytest.approx(13 / 42)


def test_unknown_words_are_spelled_and_cost_more_the_stranger_they_are():
    texts = ["a film about love .", "a film about war .", "a film about love and war .", "one odd duck"] * 2
    texts += ["a film about ducks .", "a film about loves ."]
    model = WordModel(texts)
    known, near, far = (model.nats(f"a film about {word} .") for word in ("love", "duckes", "zzxqjk"))
    assert known < near < far < math.inf
    assert word_count(["a film.", "don't"]) == 3 + 1 + 1 + 1


def test_no_held_out_text_is_trained_on():
    chance = random.Random(0)
    words = ["one", "two", "three", "four", "five", "six"]
    texts = [" ".join(chance.choices(words, k=5)) for _ in range(900)]
    rated = [Sentence("movie", text, 0.0) for text in texts[:300]]
    batches = [texts[300 + 15 * i : 315 + 15 * i] for i in range(40)]
    built = corpus.build_corpus(rated[:250], rated[250:], batches, 0)
    held_out = {corpus.fold(text) for texts in built.held_out.values() for text in texts}
    assert held_out & {corpus.fold(text) for text in batches[19]}
    assert not held_out & {corpus.fold(text) for text in built.training}
    assert len(built.training) > 300


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("The movie is  great. It has “wit” – and", "The movie is great."),
        ("The movie is great fun!\nuser\nMore", "The movie is great fun!"),
        ("Too short.", None),
        ("No end of it in sight", None),
        ("The naïve movie is great fun.", None),
    ],
)
def test_reviews_are_cut_to_whole_plain_sentences(text, tidied):
    assert reviews.tidy(text) == tidied


def test_another_seed_writes_elsewhere():
    assert reviews.fingerprint(0) != reviews.fingerprint(1)


def test_a_training_cut_short_ends_where_an_undisturbed_one_does(tmp_path, monkeypatch):
    monkeypatch.setattr(language_model, "CHECKPOINT_STEPS", 3)
    monkeypatch.setattr(language_model, "BATCH_TOKENS", 128)
    shape = language_model.Shape(layers=2, width=24, heads=6)
    generator = np.random.default_rng(0)
    documents = [np.array([0, *generator.integers(1, 50, 10), 0]) for _ in range(60)]

    recipe = language_model.WRITTEN._replace(epochs=2)

    def run(folder):
        model = language_model.train(documents, 0, tmp_path / folder, 0, Progress(disable=True), shape, recipe)
        return model.state_dict()

    whole = run("whole")
    assert whole["transformer.wte.weight"].shape[1] == 24
    learn, calls = language_model.learn, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return learn(*arguments)

    monkeypatch.setattr(language_model, "learn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("cut")
    resumed = run("cut")
    assert len(calls) == 8 + 6  # of 12 steps it went on from step 6, and did not begin again
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
