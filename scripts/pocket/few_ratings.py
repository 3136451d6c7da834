"""Draw the few rated sentences that proxies are fitted to: `python scripts/pocket/few_ratings.py` writes the asset."""

import argparse
import gzip
import json
import random
from pathlib import Path

import numpy as np
from ratings import Sentence, fetch, read, split
from scipy.stats import pearsonr

from gaard.rewards.few_ratings import MOST, SENTENCES, FewRatings
from gaard.rewards.human import HumanReward

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "src" / "gaard" / "assets"
WORK = ROOT / ".cache" / "pocket"
SEED = 0  # of the draw


def draw(training: list[Sentence]) -> list[Sentence]:
    """The sentences, in an order that makes every beginning a random sample of all.

    Args:
        training: What the full reward was fitted to.

    Returns:
        ``MOST`` of them.
    """
    return random.Random(SEED).sample(training, MOST)


def pack(sentences: list[Sentence]) -> bytes:
    """The asset: JSON, packed without the time, so that the same sentences give the same bytes."""
    rows = [[sentence.text, sentence.rating] for sentence in sentences]
    return gzip.compress(json.dumps(rows, ensure_ascii=False).encode(), 9, mtime=0)


def write(training: list[Sentence], assets: Path) -> Path:
    """Draw, pack and write the asset.

    Args:
        training: What the full reward was fitted to.
        assets: The folder.

    Returns:
        The file.
    """
    path = assets / SENTENCES
    path.write_bytes(pack(draw(training)))
    return path


def agreement(held_out: list[Sentence]) -> dict[str, float]:
    """Pearson's r of each proxy and of the full fit with people, on sentences that nothing is fitted to."""
    texts, people = [s.text for s in held_out], np.array([s.rating for s in held_out])
    models = [FewRatings(count, features=x) for count in (50, 200, MOST) for x in ("all", "words")]
    return {model.name: float(pearsonr(model.ratings(texts), people)[0]) for model in [*models, HumanReward()]}


def main() -> None:
    """Write the asset, and say how well what is fitted to it agrees with people."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    training, held_out = split(read(fetch(WORK)))
    path = write(training, ASSETS)
    print(f"{path}: {path.stat().st_size} bytes")
    for name, r in agreement(held_out).items():
        print(f"{name}: r = {r:.3f} on {len(held_out)} held-out sentences")


if __name__ == "__main__":
    main()
