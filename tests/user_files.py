"""What a user may write for the lab: a study, an arm, a method, a scenario."""

import json
from pathlib import Path

SHORT = {"max_steps": 2, "batch_size": 8, "num_mini_batches": 2, "eval_completions": 16, "progress": False}
OWN_ARM = """
from gaard.lab.arms import Arm

careful = Arm("careful", "PPO on a short leash", settings={"kl_coef": 2.0})
"""
OWN_METHOD = """
from dataclasses import dataclass
from gaard.methods import Method

@dataclass(frozen=True)
class Halved(Method):
    name = "halved"
    factor: float = 0.5

    def shape(self, estimates, mask):
        return self.factor * estimates.advantages
"""
OWN_SCENARIO = """
from gaard.lab.scenarios import Scenario

def shouts(completions, **columns):
    return [min(1.0, text.count("!") / 2) for text in completions]

loud = Scenario("loud", "pays for marks", ("The film is",), shouts, max_completion_length=6)
"""


def stated(tmp_path, **changes) -> Path:
    content = {"scenarios": ["capped", "clean"], "arms": ["ppo", "fold"], "seeds": 2, "settings": SHORT} | changes
    path = tmp_path / "study.yaml"
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in content.items()))
    return path
