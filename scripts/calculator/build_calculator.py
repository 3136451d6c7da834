"""Build the pocket calculator: ``python scripts/calculator/build_calculator.py``, some minutes on a core.

Writes the text (``homework.py``), trains a small model on it with the pocket model's training code, and puts everything
into ``src/gaard/assets/calculator``. Interrupted, it goes on where it was.
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from homework import PUZZLE, SUM, homework
from pieces import train_tokenizer
from rich.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "pocket"))

import language_model  # noqa: E402
from corpus import tokens  # noqa: E402

ASSETS = ROOT / "src" / "gaard" / "assets" / "calculator"
WORK = ROOT / ".cache" / "calculator"
LIMIT = 2_000_000  # bytes
TEXTS = 24_000  # of each kind


def main() -> None:
    """Everything, in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the text and the training")
    parser.add_argument("--work", type=Path, default=WORK, help="what is written on the way")
    given = parser.parse_args()
    built = given.work / "calculator"  # moved into the package as a whole, when all of it is there
    with Progress() as progress:
        build(given.seed, given.work, built, progress)
    size = sum(path.stat().st_size for path in built.rglob("*") if path.is_file())
    if size > LIMIT:
        raise SystemExit(f"{built} takes {size} bytes, more than {LIMIT}: it was not copied")
    shutil.rmtree(ASSETS, ignore_errors=True)
    shutil.copytree(built, ASSETS)


def build(seed: int, work: Path, folder: Path, progress: Progress, texts: int = TEXTS) -> None:
    """Write, train, save, and say what it was made of."""
    written = homework(texts, seed)
    tokenizer = train_tokenizer(written, folder)
    documents = tokens(tokenizer, written)
    shape = language_model.Shape(layers=2, width=64, heads=4, vocabulary=len(tokenizer), dropout=0.0)
    recipe = language_model.WRITTEN._replace(plain=True)  # what so small a model learns fastest with
    model = language_model.train(documents, tokenizer.eos_token_id, work, seed, progress, shape, recipe)
    figures: dict[str, Any] = {
        "seed": seed,
        "texts": len(written),
        "tokens": sum(map(len, documents)),
        "vocabulary": len(tokenizer),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "puzzle_answers": PUZZLE,
        "sum_answers": SUM,
    }
    model.to(torch.float16).save_pretrained(folder)
    figures["sha256"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("model.safetensors", "tokenizer.json")
    }
    (folder / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    write_card(folder, figures)


def write_card(folder: Path, figures: dict[str, Any]) -> None:
    """README.md beside the model."""
    card = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    numbers = {key: f"{figures[key]:,}" for key in ("parameters", "vocabulary", "texts", "tokens", "seed")}
    (folder / "README.md").write_text(card.format(**numbers), encoding="utf-8")


if __name__ == "__main__":
    main()
