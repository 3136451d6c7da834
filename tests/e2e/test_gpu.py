"""The same run on an accelerator: only where there is one."""

import pytest
import torch

from tiny import SAFEGUARDS, bait_reward, tiny_trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator"),
]


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_the_first_step_is_that_of_the_cpu(tmp_path, name):
    options = dict(method=SAFEGUARDS[name], max_steps=1, dtype=torch.float64)
    if name == "gaa-expected":
        options["reward"] = bait_reward
    cpu = tiny_trainer(tmp_path / "cpu", **options).train()
    assert (cpu["turned"] > 0) == (name == "fold")
    assert (cpu["b"] < -0.01) == (name != "fold")
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    trainer = tiny_trainer(tmp_path / "gpu", use_cpu=False, **options)
    assert trainer.accelerator.device.type == "cuda"
    gpu = trainer.train()
    assert gpu == {key: pytest.approx(value, abs=1e-6) for key, value in cpu.items()}


def test_bfloat16_trains(tmp_path):
    trainer = tiny_trainer(tmp_path, use_cpu=False, bf16=True, max_steps=3)
    assert trainer.train()["step"] == 3
