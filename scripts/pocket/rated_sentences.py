"""Keep some rated sentences in the package: ``python scripts/pocket/rated_sentences.py``.

They are of films and of the training sentences alone, so that the held-out ones judge what is learned from them.
"""

import gzip
import json
import random
import tempfile
from pathlib import Path

import numpy as np
from ratings import Sentence, fetch, read, split
from scipy.stats import pearsonr

from gaard.rewards.human import HumanReward
from gaard.rewards.learned import ASSET, LearnedReward, shipped_ratings

COUNT, SEED = 2000, 0
ASSETS = Path(__file__).parents[2] / "src" / "gaard" / "assets"


def films(sentences: list[Sentence]) -> list[Sentence]:
    """Those of films."""
    return [sentence for sentence in sentences if sentence.source == "movie"]


def chosen(training: list[Sentence]) -> list[tuple[str, float]]:
    """Some of the sentences of films, in random order: text and rating, to two digits."""
    return [(one.text, round(one.rating, 2)) for one in random.Random(SEED).sample(films(training), COUNT)]


def write(training: list[Sentence], assets: Path) -> None:
    """Write them into the folder; the same bytes each time."""
    content = json.dumps(chosen(training), ensure_ascii=False, separators=(",", ":"))
    (assets / ASSET).write_bytes(gzip.compress(content.encode(), 9, mtime=0))


def agreement(held_out: list[Sentence]) -> dict[str, float]:
    """Pearson's r of learned rewards and of the full fit with people, on sentences that nothing is fitted to."""
    texts, people = [s.text for s in held_out], np.array([s.rating for s in held_out])
    few = shipped_ratings().first
    learned = [LearnedReward(few(n), features=kind) for n in (50, 200, 800) for kind in ("all", "words")]
    return {one.name: float(pearsonr(one.ratings(texts), people)[0]) for one in [*learned, HumanReward()]}


def main() -> None:
    """Write them, and say how well what is learned from them agrees with people."""
    with tempfile.TemporaryDirectory() as folder:
        training, held_out = split(read(fetch(Path(folder))))
    write(training, ASSETS)
    for name, r in agreement(films(held_out)).items():
        print(f"{name}: r = {r:.3f} on {len(films(held_out))} held-out sentences of films")


if __name__ == "__main__":
    main()
