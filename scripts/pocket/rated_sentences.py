"""Keep some rated sentences in the package: ``python scripts/pocket/rated_sentences.py``.

They are of films and of the training sentences alone, so that the held-out ones judge what is learned from them.
"""

import gzip
import json
import random
import tempfile
from pathlib import Path

from ratings import Sentence, fetch, read, split

from gaard.rewards.learned import ASSET

COUNT, SEED = 2000, 0
ASSETS = Path(__file__).parents[2] / "src" / "gaard" / "assets"


def chosen(training: list[Sentence]) -> list[tuple[str, float]]:
    """Some of the sentences of films, in random order: text and rating, to two digits."""
    films = [sentence for sentence in training if sentence.source == "movie"]
    return [(one.text, round(one.rating, 2)) for one in random.Random(SEED).sample(films, COUNT)]


def write(training: list[Sentence], path: Path) -> None:
    """Write them; the same bytes each time."""
    content = json.dumps(chosen(training), ensure_ascii=False, separators=(",", ":"))
    path.write_bytes(gzip.compress(content.encode(), 9, mtime=0))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write(split(read(fetch(Path(folder))))[0], ASSETS / ASSET)
