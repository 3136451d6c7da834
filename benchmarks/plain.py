"""A plain rendering of the published algorithm, for comparison: nothing shared, nothing left out, nothing clever.

Facts from Johnson's text and code (docs/method.md): ``generate`` samples; a full forward each for the old and the
reference log-probabilities, whose log-softmax over the whole vocabulary is kept for all tokens; one full forward a
greedy position; dropout off; one value head; two backwards a minibatch, of the sampled and of the greedy surrogate.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.measuring import BATCH, EPOCHS, KL, MINIBATCHES, PROMPT, TEMPERATURE, TOKENS

CLIP, VALUE_COEF = 0.2, 0.5


class PlainGAA:
    """One policy, its frozen copy and a value head.

    Args:
        lm: The policy.
        tokenizer: Its tokenizer.
        reward: Texts → numbers.
        greedy: False is plain PPO.
    """

    def __init__(
        self,
        lm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        reward: Callable[[list[str]], list[float]],
        greedy: bool = True,
    ):
        self.lm, self.tokenizer, self.reward, self.greedy = lm, tokenizer, reward, greedy
        self.looks = 0
        self.reference = copy.deepcopy(lm).requires_grad_(False)
        self.head = nn.Linear(lm.config.hidden_size, 1).to(lm.device)
        self.optimizer = torch.optim.AdamW([*lm.parameters(), *self.head.parameters()], lr=1e-6, eps=1e-5)
        self.prompt = tokenizer(PROMPT, return_tensors="pt").input_ids.to(lm.device)

    def step(self) -> None:
        """Sample, look, learn."""
        ids = self.prompt.repeat(BATCH, 1)
        settings = dict(do_sample=True, temperature=TEMPERATURE, top_k=0, top_p=1.0)
        length = dict(max_new_tokens=TOKENS, min_new_tokens=TOKENS, pad_token_id=0)
        whole = self.lm.generate(ids, attention_mask=torch.ones_like(ids), **settings, **length)
        start = ids.shape[1]
        with torch.no_grad():
            logprobs, values = self._look(self.lm, whole, start)
            ref_logprobs, _ = self._look(self.reference, whole, start)
            greedy_values = self._greedy_values(whole, logprobs, start) if self.greedy else values
        sampled = whole[:, start:]
        scores = torch.tensor(self.reward(self.tokenizer.batch_decode(sampled)), device=whole.device)
        scores = (scores - scores.mean()) / (scores.std() + 1e-8)
        following = torch.cat([values[:, 1:], scores[:, None]], dim=1)
        advantages, greedy_advantages = following - values, greedy_values - values
        for _ in range(EPOCHS):
            for rows in torch.randperm(BATCH).chunk(MINIBATCHES):
                self._learn(
                    whole[rows],
                    start,
                    logprobs[rows],
                    ref_logprobs[rows],
                    advantages[rows],
                    greedy_advantages[rows],
                    following[rows],
                )

    def _look(self, lm: PreTrainedModel, whole: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the whole vocabulary, [B, T, V], and values, [B, T]."""
        out = lm(input_ids=whole, output_hidden_states=True)
        logprobs = torch.log_softmax(out.logits[:, start - 1 : -1] / TEMPERATURE, dim=-1)
        return logprobs, self.head(out.hidden_states[-1][:, start - 1 : -1]).squeeze(-1)

    def _greedy_values(self, whole: Tensor, logprobs: Tensor, start: int) -> Tensor:
        """One full forward a position, its token replaced by the greedy one."""
        greedy = logprobs.argmax(-1)
        self.looks += 1
        values = []
        for t in range(greedy.shape[1]):
            ids = torch.cat([whole[:, : start + t], greedy[:, t : t + 1], whole[:, start + t + 1 :]], dim=1)
            out = self.lm(input_ids=ids, output_hidden_states=True)
            values.append(self.head(out.hidden_states[-1][:, start + t]).squeeze(-1))
        return torch.stack(values, dim=1)

    def _learn(
        self,
        whole: Tensor,
        start: int,
        old: Tensor,
        reference: Tensor,
        advantages: Tensor,
        greedy_advantages: Tensor,
        returns: Tensor,
    ) -> None:
        """One minibatch."""
        logprobs, values = self._look(self.lm, whole, start)
        sampled, greedy = whole[:, start:, None], old.argmax(-1, keepdim=True)
        kl = (logprobs.exp() * (logprobs - reference)).sum(-1).mean()
        value_loss = VALUE_COEF * (values - returns).pow(2).mean()
        eta, gap = old.max(-1).values.exp(), (greedy_advantages - advantages) / (advantages.std() + 1e-8)
        half = (gap / 2).clamp(0, 1) if self.greedy else torch.zeros_like(gap)
        a = (1 - eta) * (half + 1) + eta * (1 - half) ** 10
        b = (1 - eta) * -half + eta * ((1 - half) ** 10 - 1)
        loss = (a * self._surrogate(logprobs, old, sampled, advantages)).mean() + KL * kl + value_loss
        self.optimizer.zero_grad()
        loss.backward(retain_graph=self.greedy)
        if self.greedy:
            (b * self._surrogate(logprobs, old, greedy, greedy_advantages)).mean().backward()
        nn.utils.clip_grad_norm_([*self.lm.parameters(), *self.head.parameters()], 1.0)
        self.optimizer.step()

    def _surrogate(self, logprobs: Tensor, old: Tensor, tokens: Tensor, advantages: Tensor) -> Tensor:
        """PPO's clipped surrogate, negated; [b, T]."""
        ratio = (logprobs.gather(-1, tokens) - old.gather(-1, tokens)).squeeze(-1).exp()
        return -torch.min(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages)
