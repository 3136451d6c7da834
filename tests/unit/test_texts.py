"""The completions that a run keeps, token by token."""

import pytest
import torch

from gaard.models.loading import load_model_and_tokenizer
from gaard.rewards import honeypot
from gaard.training.runlog import read_jsonl
from gaard.training.texts import marked, token_texts
from tiny import TEXT, WORDS, tiny_trainer, word_tokenizer, words_reward


def logged(tmp_path, **options):
    """The samples of one step, and the experience that they were taken from."""
    kept = {}
    trainer = tiny_trainer(tmp_path, max_steps=1, log_completions=5, **options)
    update = trainer._updates
    trainer._updates = lambda experience: (kept.update(experience=experience), update(experience))[1]
    trainer.train()
    return read_jsonl(tmp_path / "samples.jsonl"), kept["experience"], trainer


def test_each_token_carries_what_the_method_saw_there(tmp_path):
    rows, experience, trainer = logged(tmp_path, method=TEXT)
    assert len(rows) == 5
    for i, row in enumerate(rows):
        tokens, length = row["tokens"], int(experience.rollout.completion_mask[i].sum())
        assert {len(column) for column in tokens.values()} == {length}
        names = trainer.tokenizer.convert_ids_to_tokens(experience.rollout.completion_ids[i, :length].tolist())
        assert [text.strip() for text in tokens["text"]] == names
        names = trainer.tokenizer.convert_ids_to_tokens(experience.rollout.greedy_ids[i, :length].tolist())
        assert [text.strip() for text in tokens["greedy"]] == names
        for name, x in (
            ("eta", experience.rollout.greedy_logprobs.exp()),
            ("sigma", experience.sigma),
            ("advantage", experience.advantages),
            ("greedy_advantage", experience.greedy_advantages),
        ):
            torch.testing.assert_close(torch.tensor(tokens[name]), x[i, :length], atol=6e-5, rtol=0)


def test_a_and_b_follow_from_eta_and_sigma_by_g7_and_g8(tmp_path):
    rows, _, _ = logged(tmp_path, method=TEXT)
    seen = set()
    for row in rows:
        tokens = row["tokens"]
        for eta, sigma, a, b in zip(tokens["eta"], tokens["sigma"], tokens["a"], tokens["b"], strict=True):
            s = min(max(sigma / 2, 0.0), 1.0)
            assert a == pytest.approx((1 - eta) * (s + 1) + eta * (1 - s) ** 10, abs=2e-3)
            assert b == pytest.approx((1 - eta) * -s + eta * ((1 - s) ** 10 - 1), abs=2e-3)
            seen.add((a, b))
    assert len(seen) > 5


def test_means_of_a_minibatch_are_shown_as_those_of_the_rollout(tmp_path):
    rows, experience, _ = logged(tmp_path, method={"name": "gaa", "reading": "code"})
    eta = float(experience.eta[experience.rollout.completion_mask].mean())
    sigma = float(experience.sigma[experience.rollout.completion_mask].mean())
    s = min(max(sigma / 2, 0.0), 1.0)
    a = (1 - eta) * (s + 1) + eta * (1 - s) ** 10
    assert [row["tokens"]["a"] for row in rows] == [
        pytest.approx([a] * len(row["tokens"]["a"]), abs=1e-3) for row in rows
    ]


def test_ppo_does_not_look_and_says_so(tmp_path):
    rows, _, _ = logged(tmp_path, method="ppo")
    for row in rows:
        assert set(row["tokens"]) == {"text", "greedy", "other", "hack", "eta", "advantage", "turned", "a", "b"}
        assert set(row["tokens"]["a"]) == {1.0}
        assert set(row["tokens"]["b"]) == {0.0}
        assert set(row["tokens"]["turned"]) == {0.0}


def test_what_fold_turned_is_marked_token_by_token(tmp_path):
    """Fold looks at no greedy token either; a turned token has a negative advantage."""
    rows, experience, _ = logged(tmp_path, method={"name": "fold", "threshold": 0.5})
    turned = experience.turned
    assert turned.any()
    for i, row in enumerate(rows):
        tokens = row["tokens"]
        assert "sigma" not in tokens
        assert tokens["turned"] == turned[i, : len(tokens["turned"])].tolist()
        pairs = zip(tokens["turned"], tokens["advantage"], strict=True)
        assert all(advantage < 0 for mark, advantage in pairs if mark)


def test_the_honeypot_is_marked_token_by_token(tmp_path):
    rows, _, _ = logged(tmp_path, reward=honeypot(words_reward, word="w5"), method="ppo", seed=1)
    found = [(text.strip(), mark) for row in rows for text, mark in zip(*columns(row), strict=True)]
    assert all(mark == (text == "w5") for text, mark in found)
    assert any(mark for _, mark in found)


def columns(row):
    return row["tokens"]["text"], row["tokens"]["hack"]


@pytest.mark.parametrize(
    ("pieces", "spans", "marks"),
    [
        ([" a", " sto", "ry", "."], [(3, 8)], [0, 1, 1, 0]),
        ([" a", " sto", "ry", "."], [], [0, 0, 0, 0]),
        (["ab", "", "c"], [(0, 1), (2, 3)], [1, 0, 1]),
        ([], [], []),
    ],
)
def test_a_piece_is_marked_where_a_span_reaches_into_it(pieces, spans, marks):
    assert marked(pieces, spans) == marks


@pytest.mark.parametrize(
    "text", ["The movie is great, isn't it? I loved this story.", "日本語 story", "Über naïve 😀😀 fun", "end 😀"]
)
def test_pieces_of_a_byte_level_tokenizer_join_to_the_text(text):
    _, tokenizer = load_model_and_tokenizer("pocket")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    texts = token_texts(tokenizer, ids, [*ids[1:], ids[0], ids[0]])
    assert "".join(texts["text"]) == tokenizer.decode(ids) == text
    assert len(texts["greedy"]) == len(ids)
    assert texts["other"] == [int(one != other) for one, other in zip(ids, [*ids[1:], ids[0]], strict=True)]


def test_a_letter_that_never_comes_to_its_end_is_shown_as_it_is():
    _, tokenizer = load_model_and_tokenizer("pocket")
    ids = tokenizer("fun 😀")["input_ids"][:-1]
    assert token_texts(tokenizer, ids, ids)["text"][-1].endswith("\ufffd")


def test_no_completions_are_kept_if_none_are_asked_for(tmp_path):
    tiny_trainer(tmp_path, max_steps=1, log_completions=0).train()
    assert read_jsonl(tmp_path / "samples.jsonl") == []


def test_special_tokens_are_shown_by_name():
    tokenizer = word_tokenizer(WORDS)
    assert token_texts(tokenizer, [4, 3], [5, 5])["text"][1].strip() == "</s>"
