"""Build the pocket model and the human reward: ``python scripts/pocket/build.py``, some two hours on 2 cores.

Fetches the rated sentences, fits the human reward, lets SmolLM2-135M write reviews, trains the pocket model on both,
compares it with 5-grams, and writes everything to ``src/gaard/assets``. Interrupted, it goes on where it was; what it
fetched and wrote on the way is kept in ``.cache/pocket``.
"""

import argparse
import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import human_reward
import language_model
import numpy as np
import rated_sentences
import torch
from card import write_card
from corpus import POSITIONS, Corpus, build_corpus, people, tokens, train_tokenizer
from kneser_ney import KneserNey, WordModel, word_count
from ratings import fetch, read, split
from reviews import write_reviews
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "src" / "gaard" / "assets"
WORK = ROOT / ".cache" / "pocket"
LIMIT = 8_000_000  # bytes of all assets
TEMPERATURE = 0.7  # of the card's samples


def main() -> None:
    """Everything, in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the reviews, their split and the training")
    parser.add_argument("--work", type=Path, default=WORK, help="what is fetched and written on the way")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        built = arguments.work / "assets"  # moved into the package as a whole, when all of it is there
        build(arguments.seed, arguments.work, built, progress)
    size = sum(path.stat().st_size for path in built.rglob("*") if path.is_file())
    if size > LIMIT:
        raise SystemExit(f"the assets in {built} take {size} bytes, more than {LIMIT}: they were not copied")
    shutil.copytree(built, ASSETS, dirs_exist_ok=True)  # the page and the calculator lie there too
    console.print(f"{ASSETS}: {size / 1e6:.2f} MB")


def build(seed: int, work: Path, assets: Path, progress: Progress) -> None:
    """Fetch, fit, write, train, measure."""
    training, held_out = split(read(fetch(work)))
    figures: dict[str, Any] = {"human_reward": human_reward.fit(training, held_out, assets)}
    rated_sentences.write(training, assets)
    batches = write_reviews(work, training, seed, progress)
    corpus = build_corpus(training, held_out, batches, seed)
    folder = assets / "pocket"
    tokenizer = train_tokenizer(corpus.training, folder)
    documents = training_documents(tokenizer, corpus)
    model = language_model.train(documents, tokenizer.eos_token_id, work, seed, progress)
    model.half().save_pretrained(folder)
    figures["pocket"] = {
        "seed": seed,
        "training_texts": len(corpus.training),
        "people_words": word_count(people(training)),
        "written_words": word_count(text for batch in batches for text in batch),
        "vocabulary": len(tokenizer),
        "training_tokens": sum(map(len, documents[: len(corpus.training)])),
        "reviews": sum(map(len, batches)),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "perplexity": perplexities(corpus, folder, progress),
    }
    figures["sha256"] = {
        path.relative_to(assets).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted([*assets.rglob("*.safetensors"), *assets.rglob("tokenizer.json")])
    }
    (assets / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    write_card(folder, figures, samples(folder, seed), TEMPERATURE)


def training_documents(tokenizer: PreTrainedTokenizerFast, corpus: Corpus) -> list[np.ndarray]:
    """All texts, then people's again: those are the fewer, and the harder to foretell."""
    return [*tokens(tokenizer, corpus.training), *tokens(tokenizer, corpus.people)]


def perplexities(corpus: Corpus, folder: Path, progress: Progress) -> dict[str, Any]:
    """Perplexity per word on held-out text, of the model as saved and of two 5-gram models."""
    model, tokenizer = load(folder)
    task = progress.add_task("fitting and asking 5-grams", total=2)
    words = WordModel(corpus.training)
    progress.advance(task)
    pieces = KneserNey(inner(tokenizer, corpus.training))
    progress.advance(task)

    def by_pieces(texts: list[str]) -> float:
        return -sum(sum(pieces.log_probabilities(ids)) for ids in inner(tokenizer, texts))

    def by_words(texts: list[str]) -> float:
        return sum(words.nats(text) for text in texts)

    def by_model(texts: list[str]) -> float:
        return language_model.nats(model, tokens(tokenizer, texts), tokenizer.eos_token_id)

    ways: dict[str, Callable[[list[str]], float]] = {
        "pocket": by_model,
        "five_grams_of_words": by_words,
        "five_grams_of_tokens": by_pieces,
    }
    parts = {part: fitting(tokenizer, texts) for part, texts in corpus.held_out.items()}
    parts["all"] = [text for texts in parts.values() for text in texts]
    table: dict[str, Any] = {}
    for part, texts in parts.items():
        count = word_count(texts)
        table[part] = {name: math.exp(way(texts) / count) for name, way in ways.items()}
        table[part] |= {"texts": len(texts), "words": count}
    return table


def inner(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    """Token ids without the end-of-text tokens."""
    return tokenizer(texts, add_special_tokens=False).input_ids


def fitting(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[str]:
    """Those that the model can take whole; a few are longer, and are left out for all models alike."""
    return [text for text, ids in zip(texts, inner(tokenizer, texts), strict=True) if len(ids) < POSITIONS]


def load(folder: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """As any user would."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def samples(folder: Path, seed: int, opening: str = "The movie is", count: int = 20) -> list[str]:
    """The first texts that come, none left out: half of them from nothing, half from an opening."""
    model, tokenizer = load(folder)
    texts = []
    for prompt in ("", opening):
        torch.manual_seed(seed)
        ids = torch.tensor([tokenizer(prompt).input_ids]).repeat(count // 2, 1)
        drawn = model.generate(ids, do_sample=True, top_k=0, top_p=1.0, temperature=TEMPERATURE, max_new_tokens=48)
        texts += tokenizer.batch_decode(drawn, skip_special_tokens=True)
    return texts


if __name__ == "__main__":
    main()
