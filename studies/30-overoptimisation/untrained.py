"""The untrained model's completions: the bounds of hacks, and best-of-n for a family of proxies.

`python studies/30-overoptimisation/untrained.py` prints the bounds that the scenarios state and writes
`best_of_n.parquet`: a row a proxy and n, with the KL to the untrained model, the proxy's and the true reward.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch

from gaard.lab.overoptimisation import best_of_n, best_of_n_kl
from gaard.lab.reward_model import reward_model
from gaard.lab.scenarios import OPENINGS
from gaard.models.loading import load_model_and_tokenizer
from gaard.policy.model import Policy
from gaard.policy.sampling import sample
from gaard.rewards import HumanReward, LearnedReward, RewardFunction
from gaard.rewards.learned import shipped_ratings
from gaard.rewards.shaping import words

FILE = Path(__file__).with_name("best_of_n.parquet")
COMPLETIONS, BATCH, TEMPERATURE, SEED = 8_192, 256, 0.8, 0
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
COUNTS = (50, 200, 800)


@torch.no_grad()
def completions(length: int, count: int = COMPLETIONS) -> list[str]:
    """So many completions of the untrained model, each prompt's as many.

    Args:
        length: Tokens at most.
        count: How many, in whole batches.
    """
    lm, tokenizer = load_model_and_tokenizer("pocket", quiet=True)
    policy = Policy(lm, TEMPERATURE, cpu_kernels=True)
    prompts = tokenizer(list(OPENINGS) * (BATCH // len(OPENINGS)), return_tensors="pt", padding=True)
    ids, mask = prompts.input_ids, prompts.attention_mask.bool()
    generator = torch.Generator().manual_seed(SEED)
    texts: list[str] = []
    while len(texts) < count:
        uniforms = torch.rand(BATCH, length, dtype=torch.float64, generator=generator)
        drawn = sample(policy, ids, mask, uniforms, [tokenizer.eos_token_id], tokenizer.pad_token_id)
        texts += tokenizer.batch_decode(drawn.completion_ids, skip_special_tokens=True)
    return texts


def rated(reward: RewardFunction, texts: list[str]) -> np.ndarray:
    """The reward of texts without a prompt."""
    return np.array(reward(prompts=[""] * len(texts), completions=texts))


def proxies() -> dict[str, RewardFunction]:
    """By size of data and of model."""
    kinds = [(count, features) for count in COUNTS for features in ("all", "words")]
    few = shipped_ratings().first
    found = [LearnedReward(few(count), features=features, include_prompt=False) for count, features in kinds]
    models = {f"reward model of {count} ratings": reward_model(few(count)) for count in COUNTS}
    return {one.name: one for one in found} | models | {"all ratings": HumanReward(include_prompt=False)}


def bounds(proxy: Mapping[str, np.ndarray], true: np.ndarray) -> None:
    """Print what a scenario states of each proxy, and how the untrained model stands."""
    usual = round(float(np.median(true)), 3)
    print(f"truth: mean {true.mean():.4f}, median {usual}")
    for name, paid in proxy.items():
        liked = round(float(np.quantile(paid, 0.9)), 3)
        hacks = float(((paid >= liked) & (true < usual)).mean())
        r = float(np.corrcoef(paid, true)[0, 1])
        print(f"{name}: mean {paid.mean():.4f}, best tenth from {liked}, r with truth {r:.3f}, hacks {hacks:.1%}")


def longer_bounds(texts: list[str], true: np.ndarray) -> None:
    """The same of length."""
    counts = np.array([len(words(text)) for text in texts])
    usual = round(float(np.median(true)), 3)
    quantiles = np.quantile(counts, [0.05, 0.5, 0.75, 0.9, 0.95]).tolist()
    print(f"32 tokens: truth mean {true.mean():.4f}, median {usual}, words {quantiles}, sd {counts.std():.2f}")
    print(f"sd of truth {true.std():.4f}, r of truth and words {np.corrcoef(true, counts)[0, 1]:.3f}")
    for long in range(23, 29):
        print(f"hacks from {long} words: {float(((counts >= long) & (true < usual)).mean()):.1%}")


def main() -> None:
    """Draw, print, write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    texts = completions(16)
    true = rated(HumanReward(include_prompt=False), texts)
    paid_by = {name: rated(proxy, texts) for name, proxy in proxies().items()}
    bounds(paid_by, true)
    rows = []
    for name, paid in paid_by.items():
        rows += [
            {"proxy": name, "n": n, "kl": best_of_n_kl(n), "reward": best_of_n(paid, paid, n),
             "true_reward": best_of_n(paid, true, n)}
            for n in SIZES
        ]  # fmt: skip
    pl.DataFrame(rows).write_parquet(FILE, compression="zstd", compression_level=19)
    print(f"{FILE}: {len(rows)} rows of {len(texts)} completions")
    longer = completions(32)
    longer_bounds(longer, rated(HumanReward(include_prompt=False), longer))


if __name__ == "__main__":
    main()
