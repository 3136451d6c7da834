"""Texts drawn from the pocket model that ships: another model's text in minutes, where writing it takes hours."""

import torch
from build import ASSETS, load
from reviews import COMPLETIONS, CONTINUED, ON_REQUEST, PROMPTS, tidy
from rich.progress import Progress

from gaard.policy.model import Policy
from gaard.policy.sampling import sample

LONGEST = 64  # tokens; a longer text is kept up to its last whole sentence


def sample_reviews(seed: int, progress: Progress) -> list[list[str]]:
    """As many texts as the writer was asked for, in as many batches, by the same rules of what is kept.

    Args:
        seed: The same seed gives the same texts on the same machine.
        progress: Where to show it.

    Returns:
        The texts of each batch. People's sentences stand among them as often as the model foretells them.
    """
    model, tokenizer = load(ASSETS / "pocket")
    policy, end = Policy(model, cpu_kernels=True), tokenizer.eos_token_id
    start = torch.full((PROMPTS * COMPLETIONS, 1), end)
    batches = []
    for number in progress.track(range(ON_REQUEST + CONTINUED), description="drawing reviews"):
        generator = torch.Generator().manual_seed(seed * 1000 + number)
        uniforms = torch.rand(len(start), LONGEST, dtype=torch.float64, generator=generator)
        drawn = sample(policy, start, torch.ones_like(start, dtype=torch.bool), uniforms, [end], end)
        texts = [tidy(text) for text in tokenizer.batch_decode(drawn.completion_ids, skip_special_tokens=True)]
        batches.append([text for text in texts if text])
    return batches
