"""The monitor as a callback of gaard's own trainer: the same alarm as a monitor that is told of the run's texts."""

import json

import pytest

from gaard.errors import GaardWarning
from gaard.integrations.transformers import GaardMonitor
from gaard.lab.scenarios import with_scenario
from gaard.lab.spec import RunSpec, read_prompts
from gaard.lab.spec_rewards import all_rewards
from gaard.monitor import Monitor
from gaard.rewards import honeypot
from gaard.training.trainer import GAATrainer
from tiny import bait_reward, tiny_trainer, words_reward

STEPS = 12


def told(folder, **also):
    """A monitor that was told of what the run has kept of its steps."""
    monitor = Monitor()
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    logged = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        metrics = json.loads(line)
        step = [row for row in rows if row["step"] == metrics["step"]]
        columns = {field: [row[key] for row in step] for field, key in also.items()}
        monitor.update(
            metrics["step"],
            [row["reward"] for row in step],
            completions=[row["completion"] for row in step],
            lengths=[len(row["tokens"]["text"]) for row in step],
            groups=[row["prompt"] for row in step],
            **columns,
            **logged,
        )
        logged = {"entropy": metrics["entropy"], "kl": metrics["kl_ref"]}  # known when the step is logged
    return monitor


@pytest.mark.slow
def test_on_capped_it_raises_the_alarm_that_the_runs_texts_raise(tmp_path):
    given = {"scenario": "capped", "output_dir": str(tmp_path), "max_steps": STEPS, "log_completions": 99}
    spec = RunSpec(**with_scenario({**given, "progress": False, "use_cpu": True}))
    proxy, rewards = all_rewards(spec)
    monitor = GaardMonitor()
    trainer = GAATrainer(spec.model, proxy, spec, read_prompts(spec.prompts), **rewards, callbacks=[monitor])
    with pytest.warns(GaardWarning, match="paid more"):
        trainer.train()
    expected = told(tmp_path, true_rewards="true_reward", hacked="hacked")
    assert monitor.alarms == expected.alarms
    assert monitor.monitor.figures == expected.figures
    words = next(alarm for alarm in monitor.alarms if alarm.rule == "words")
    assert "'story'" in words.reason


def test_what_the_run_does_not_know_has_no_number(tmp_path):
    monitor = GaardMonitor(rules=[])
    tiny_trainer(tmp_path, reward=bait_reward, max_steps=2, log_completions=16, callbacks=[monitor]).train()
    assert monitor.monitor.figures == told(tmp_path).figures
    assert not {"hack_rate", "true_reward"} & monitor.monitor.figures[0].keys()
    assert "entropy" in monitor.monitor.figures[1]


def test_a_detector_and_a_true_reward_of_its_own_come_before_the_runs(tmp_path):
    def half(completions, prompts, side, **_):
        assert len(side) == len(prompts) == 16
        return [None if "w1" in text else 0.5 for text in completions]

    monitor = GaardMonitor(rules=[], detector=lambda texts: [True] * len(texts), true_reward=half)
    rows = [{"prompt": f"w{i}", "side": i} for i in range(3)]
    reward = honeypot(words_reward, word="bait")
    tiny_trainer(tmp_path, reward=reward, prompts=rows, max_steps=1, callbacks=[monitor]).train()
    (figures,) = monitor.monitor.figures
    assert (figures["hack_rate"], figures["true_reward"]) == (1, 0.5)
