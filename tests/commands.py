"""What tests of the command line share: the settings of a run that takes a second, and what a refusal looks like."""

from gaard import cli

SETTINGS = {
    "prompts": ["w1 w2", "w3", "w4 w5 w6 w7"],
    "reward_funcs": ["lexicon"],
    "honeypot": {"word": "bait", "mode": "capped", "bonus": 1.0, "base_weight": 0.5},
    "max_steps": 3,
    "batch_size": 16,
    "num_mini_batches": 2,
    "max_completion_length": 8,
    "eval_completions": 32,
    "learning_rate": 1.0e-3,
    "use_cpu": True,
    "progress": False,
}


def refused(words: list[str], capsys) -> str:
    """The one line of a command that cannot be run."""
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("gaard: ")
    return lines[0]
