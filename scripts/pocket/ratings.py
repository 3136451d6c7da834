"""The rated sentences of Hutto & Gilbert (ICWSM 2014), from the source distribution of vaderSentiment 3.3.2."""

import hashlib
import io
import random
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

SDIST = "vaderSentiment==3.3.2"
SDIST_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "additional_resources/hutto_ICWSM_2014.tar.gz"
SOURCES = {
    "movie": "movieReviewSnippets",
    "amazon": "amazonReviewSnippets",
    "nyt": "nytEditorialSnippets",
    "tweet": "tweets",
}
HELD_OUT = 0.15  # share of the distinct sentences that nothing is fitted to


@dataclass(frozen=True)
class Sentence:
    """One rated sentence.

    Attributes:
        source: movie, amazon, nyt or tweet.
        text: As rated, double single quotes made double quotes.
        rating: Mean of 20 people, −4…4.
    """

    source: str
    text: str
    rating: float


def fetch(folder: Path) -> Path:
    """Download the source distribution with pip and check it.

    Args:
        folder: Where to; the archive is kept there.

    Returns:
        The archive.
    """
    path = folder / "vaderSentiment-3.3.2.tar.gz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / "vaderSentiment.txt"
        wanted.write_text(f"{SDIST} --hash=sha256:{SDIST_SHA256}\n")  # checked before anything in it is run
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
        source = ["--no-binary", ":all:", "--require-hashes", "--requirement", str(wanted)]
        subprocess.run([*command, *source, "--dest", str(folder)], check=True)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SDIST_SHA256:
        raise SystemExit(f"{path} has sha256 {found}, expected {SDIST_SHA256}: delete it and try again")
    return path


def read(archive: Path) -> list[Sentence]:
    """All rated sentences, in the order of the files.

    Args:
        archive: What :func:`fetch` returned.

    Returns:
        Distinct sentences; the first rating of a repeated one.
    """
    with tarfile.open(archive) as outer:
        inner = next(member for member in outer.getmembers() if member.name.endswith(INNER))
        content = io.BytesIO(outer.extractfile(inner).read())
    sentences: dict[str, Sentence] = {}
    with tarfile.open(fileobj=content) as tar:
        for source, stem in SOURCES.items():
            member = next(m for m in tar.getmembers() if m.name.endswith(f"{stem}_GroundTruth.txt"))
            for line in tar.extractfile(member).read().decode("utf-8", errors="replace").splitlines():
                fields = line.split("\t")
                if len(fields) >= 3:
                    text = clean(fields[2])
                    sentences.setdefault(text.lower(), Sentence(source, text, float(fields[1])))
    return list(sentences.values())


def clean(text: str) -> str:
    """Plain quotes and single spaces."""
    return re.sub(r"\s+", " ", text.replace("''", '"').replace("\ufffd", "'")).strip()


def split(sentences: list[Sentence], seed: int = 0) -> tuple[list[Sentence], list[Sentence]]:
    """Training and held-out sentences, the same for the reward and the language model.

    Args:
        sentences: Distinct.
        seed: Of the shuffle.

    Returns:
        ``(training, held out)``.
    """
    shuffled = list(sentences)
    random.Random(seed).shuffle(shuffled)
    count = round(len(shuffled) * HELD_OUT)
    return shuffled[count:], shuffled[:count]
