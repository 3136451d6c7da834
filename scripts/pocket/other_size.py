"""The pocket model in another size, on the same text or on its own.

``python scripts/pocket/other_size.py LAYERS WIDTH HEADS FOLDER [--text written|sampled]``

``written``: by SmolLM2-135M, as the pocket model's was: hours on two cores, unless ``build.py`` has written it in the
same ``.cache/pocket``. ``sampled``: drawn from the pocket model that ships, minutes. Either goes on where it was if
interrupted.
"""

import argparse
from pathlib import Path

import language_model
from build import ASSETS, WORK, perplexities, training_documents
from corpus import build_corpus
from ratings import fetch, read, split
from reviews import write_reviews
from rich.console import Console
from rich.progress import Progress
from sampled import sample_reviews
from transformers import AutoTokenizer


def main() -> None:
    """Train, save, and say how well it foretells held-out text."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("layers", "width", "heads"):
        parser.add_argument(name, type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", choices=("written", "sampled"), default="written")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    shape = language_model.Shape(given.layers, given.width, given.heads)
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        training, held_out = split(read(fetch(WORK)))
        if given.text == "written":
            batches, recipe = write_reviews(WORK, training, given.seed, progress), language_model.WRITTEN
        else:
            batches, recipe = sample_reviews(given.seed, progress), language_model.SAMPLED
        corpus = build_corpus(training, held_out, batches, given.seed)
        tokenizer = AutoTokenizer.from_pretrained(ASSETS / "pocket")
        documents = training_documents(tokenizer, corpus)
        model = language_model.train(documents, tokenizer.eos_token_id, WORK, given.seed, progress, shape, recipe)
        model.half().save_pretrained(given.folder)
        tokenizer.save_pretrained(given.folder)
        found = perplexities(corpus, given.folder, progress)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    worth = ", ".join(f"{part} {figures['pocket']:.1f}" for part, figures in found.items())
    console.print(f"{given.folder}: {parameters / 1e6:.2f} million parameters, perplexity per word: {worth}")


if __name__ == "__main__":
    main()
