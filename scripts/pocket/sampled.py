"""Texts drawn from the pocket model that ships: another model's text in minutes, where writing it takes hours."""

import torch
from build import ASSETS, load
from corpus import POSITIONS
from reviews import COMPLETIONS, CONTINUED, ON_REQUEST, PROMPTS, tidy
from rich.progress import Progress


@torch.no_grad()
def sample_reviews(seed: int, progress: Progress) -> list[list[str]]:
    """As many texts as the writer was asked for, in as many batches, by the same rules of what is kept.

    Args:
        seed: The same seed gives the same texts on the same machine.
        progress: Where to show it.

    Returns:
        The texts of each batch. People's sentences stand among them as often as the model foretells them.
    """
    model, tokenizer = load(ASSETS / "pocket")
    start = torch.full((PROMPTS * COMPLETIONS, 1), tokenizer.eos_token_id)
    batches = []
    for number in progress.track(range(ON_REQUEST + CONTINUED), description="drawing reviews"):
        torch.manual_seed(seed * 1000 + number)
        ids = model.generate(
            start, attention_mask=torch.ones_like(start), do_sample=True, max_new_tokens=POSITIONS - 1, top_k=0,
            pad_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        texts = [tidy(text) for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
        batches.append([text for text in texts if text])
    return batches
