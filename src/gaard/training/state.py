"""What training changes: weights, optimizer, generators and counters, as a checkpoint holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from gaard.method.token_worth import TokenMemory
from gaard.policy.model import Policy
from gaard.training.generators import generator_states, restore_generators
from gaard.training.prompts import PromptStream


@dataclass
class TrainingState:
    """All that training changes: what a checkpoint holds, and what going on begins from.

    Attributes:
        policy: The policy, not wrapped.
        reference: The reference, if it moves.
        optimizer: Not wrapped.
        scheduler: Of the learning rates.
        prompts: The order of the dataset.
        generator: The run's own.
        baseline_scores: For each prompt met so far, what completions of the untrained model are paid.
        memory: What rollouts have said of tokens.
        step: Steps done.
        ended: Whether a regulariser has ended training.
        kl_control: What a controller of the KL coefficient carries on; empty before the first step, or without one.
        warned: Whether the method has said what it has to say of a rollout.
        lowered: How often the run has gone back since it diverged, each time to half the learning rates.
        torn: Whether weights have moved in a step that is not done, or not yet logged.
    """

    policy: Policy
    reference: Policy | None
    optimizer: Optimizer
    scheduler: LambdaLR
    prompts: PromptStream
    generator: torch.Generator
    baseline_scores: dict[tuple[str, ...], Tensor]
    memory: TokenMemory = field(default_factory=TokenMemory, init=False)
    step: int = field(default=0, init=False)
    ended: bool = field(default=False, init=False)
    kl_control: list[float] = field(default_factory=list, init=False)
    warned: bool = field(default=False, init=False)
    lowered: int = field(default=0, init=False)
    torn: bool = field(default=False, init=False)

    def plain(self) -> dict[str, Any]:
        """What a checkpoint holds beside weights and optimizer, JSON-serialisable."""
        return {
            "step": self.step,
            "ended": self.ended,
            "warned": self.warned,
            "lowered": self.lowered,
            "kl_control": list(self.kl_control),
            "scheduler": self.scheduler.state_dict(),
            "prompts": self.prompts.state(),
            "generators": generator_states(self.generator),
            "baseline_scores": [[list(key), scores.tolist()] for key, scores in self.baseline_scores.items()],
            "token_memory": self.memory.plain(),
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Undo :meth:`plain`, and forget a gradient that an update left behind when it was stopped."""
        self.optimizer.zero_grad()
        self.step, self.ended, self.warned, self.torn = plain["step"], plain["ended"], plain["warned"], False
        self.kl_control, self.lowered = list(plain.get("kl_control", [])), plain.get("lowered", 0)  # old ones have none
        self.scheduler.load_state_dict(plain["scheduler"])
        self.prompts.restore(plain["prompts"])
        restore_generators(plain["generators"], self.generator)
        self.baseline_scores.clear()
        self.baseline_scores.update({tuple(key): torch.tensor(scores) for key, scores in plain["baseline_scores"]})
        self.memory.restore(plain["token_memory"])
