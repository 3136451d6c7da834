"""The benchmarks' own arithmetic: floors by hand, bars, and a results file that keeps the rows that were not run."""

import json
import math

import pytest
import torch
from benchmarks import __main__ as command
from benchmarks import one_step
from benchmarks.measuring import Figure, Rates, medians
from benchmarks.models import WAYS, check_named, greedy_looks, trainer_of, trivial_reward
from benchmarks.plain import PlainGAA
from benchmarks.roofline import Work, work

from tiny import WORDS, tiny_lm, tiny_trainer, word_tokenizer

# 100 weights in the trunk, 40 in the head; 3 completions of 2 tokens after a prompt of 5; 4 bytes a number.
SMALL = Work(trunk=100, head=40, cache=8, bytes=4, prompt=5, rows=3, tokens=2)


def test_the_floor_of_sampling_by_hand():
    products = Rates(flops=1.0, bandwidth=math.inf)
    # The prompt: 2·(100·5 + 40·1); one more token of each completion: 2·(100·3 + 40·3).
    assert SMALL.sampling(products) == 1080 + 840
    bytes_ = Rates(flops=math.inf, bandwidth=1.0)
    # All weights twice, and the keys of 3 rows of 6 tokens once.
    assert SMALL.sampling(bytes_) == 140 * 4 * 2 + 8 * 3 * 6


def test_the_floor_of_learning_by_hand():
    products = Rates(flops=1.0, bandwidth=math.inf)
    # One minibatch of 3 rows: 5 + 3·1 tokens through the trunk, 6 positions projected, thrice; the reference's 6 once.
    assert SMALL.learning(products, epochs=1, minibatches=1) == 3 * 2 * (100 * 8 + 40 * 6) + 2 * 40 * 6
    bytes_ = Rates(flops=math.inf, bandwidth=1.0)
    assert SMALL.learning(bytes_, epochs=2, minibatches=1) == 2 * 140 * (28 + 8)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_the_work_of_a_model_counts_what_tokens_are_multiplied_with(architecture):
    found = work(tiny_lm(architecture), 4, prompt=5, rows=3, tokens=2)
    width, inner = 32, 128 if architecture == "gpt2" else 64
    attention = 4 * width * width if architecture == "gpt2" else 2 * width * width + 2 * width * 16
    mlp = 2 * width * inner if architecture == "gpt2" else 3 * width * inner
    assert (found.trunk, found.head) == (2 * (attention + mlp), 37 * width)
    assert found.cache == 2 * 2 * (width if architecture == "gpt2" else 16) * 4


@pytest.mark.parametrize(("larger", "holds"), [(True, [False, True, True]), (False, [True, True, False])])
def test_a_bar_has_a_direction(larger, holds):
    assert [Figure("x", "m", value, 2.0, larger).holds for value in (1.0, 2.0, 3.0)] == holds
    assert Figure("x", "m", 1.0).holds is None


def test_ways_take_turns_in_both_directions():
    calls = []
    medians({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, warm_up=1)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"


def test_rows_that_are_not_run_keep_their_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results.json")
    rows = {"one": lambda: iter([Figure("one, x", "m", 1.0, 2.0)]), "two": lambda: iter([Figure("two", "m", 3.0, 2.0)])}
    for row in rows.values():
        row.__doc__ = "What it is."
    monkeypatch.setattr(command, "ROWS", rows)
    for arguments in ([], ["one,"]):
        monkeypatch.setattr("sys.argv", ["benchmarks", *arguments])
        command.main()
    found = json.loads((tmp_path / "results.json").read_text())
    assert sorted(figure["name"] for figure in found) == ["one, x", "two"]
    columns = {"name", "model", "value", "bar", "larger_is_better", "holds", "date", "machine"}
    assert all(set(figure) == columns for figure in found)
    assert {figure["name"]: figure["holds"] for figure in found} == {"one, x": True, "two": False}
    assert "no" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["benchmarks", "three"])
    with pytest.raises(SystemExit, match="no row is called 'three': there are one, two"):
        command.main()


def test_the_plain_rendering_values_greedy_tokens_as_the_branch_does():
    """It is what the branch is timed against, so it has to compute the same."""
    lm = tiny_lm("gpt2")
    algorithm = PlainGAA(lm, word_tokenizer(WORDS), trivial_reward)
    whole = torch.randint(4, 37, (3, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logprobs, _ = algorithm._look(lm, whole, 4)
        values = algorithm._greedy_values(whole, logprobs, 4)
        greedy = logprobs.argmax(-1)
        for t in range(5):
            ids = torch.cat([whole[:, : 4 + t], greedy[:, t : t + 1]], dim=1)
            state = lm(input_ids=ids, output_hidden_states=True).hidden_states[-1][:, -1]
            torch.testing.assert_close(values[:, t], algorithm.head(state).squeeze(-1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_does_not_run_what_it_names_is_stopped(tmp_path, way):
    trainer = tiny_trainer(tmp_path, **WAYS[way])
    looks = greedy_looks(trainer.training_step)
    check_named(way, looks)
    other = "gaa" if looks == 0 else "ppo"
    with pytest.raises(SystemExit, match=f"{other} looked at greedy tokens {looks} times"):
        check_named(other, looks)


@pytest.mark.parametrize("way", ["plain-gaa", "plain-ppo", "gaard-gaa", "gaard-ppo", "gaard-grpo"])
def test_each_way_of_one_step_runs_what_it_names(way, tmp_path, monkeypatch):
    """The names once moved on, and a row called GAA ran PPO."""
    models = tiny_lm("gpt2"), word_tokenizer(WORDS)
    monkeypatch.setattr(one_step, "load", lambda model: models)
    monkeypatch.setattr("benchmarks.plain.PROMPT", "w1 w2")
    monkeypatch.setattr("benchmarks.models.PROMPT", "w1 w2")
    one_step.main(way, "tiny", "8", "4", "", str(tmp_path / "out.json"))
    assert json.loads((tmp_path / "out.json").read_text())["seconds"] > 0
    whose, method = way.split("-")
    wrong = f"{whose}-{'ppo' if method == 'gaa' else 'gaa'}"
    monkeypatch.setattr(one_step, "check_named", lambda named, looks: check_named(wrong, looks))
    with pytest.raises(SystemExit, match=wrong):
        one_step.main(way, "tiny", "8", "4", "", str(tmp_path / "out.json"))


def test_a_critic_where_none_is_named_is_stopped(monkeypatch):
    monkeypatch.setattr("benchmarks.models.PROMPT", "w1 w2")
    monkeypatch.setitem(WAYS, "grpo", WAYS["ppo"])
    with pytest.raises(SystemExit, match="grpo has a critic"):
        trainer_of(tiny_lm("gpt2"), word_tokenizer(WORDS), "grpo")


@pytest.mark.parametrize("greedy", [True, False])
def test_the_plain_rendering_learns(greedy, monkeypatch):
    lm = tiny_lm("gpt2")
    before = [parameter.clone() for parameter in lm.parameters()]
    monkeypatch.setattr("benchmarks.plain.PROMPT", "w1 w2")
    PlainGAA(lm, word_tokenizer(WORDS), trivial_reward, greedy).step()
    assert any(not torch.equal(x, y) for x, y in zip(before, lm.parameters(), strict=True))
    assert all(parameter.isfinite().all() for parameter in lm.parameters())
