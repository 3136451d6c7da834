"""Prompts: what a user may pass as a dataset, checked and tokenised once, and drawn in a reproducible order."""

import copy
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence, Set, Sized
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from gaard.content import as_json, short_hash
from gaard.errors import ConfigError
from gaard.messages import shortened
from gaard.rewards.in_run import RUN_KEYWORDS
from gaard.rewards.protocol import MESSAGES, TEXT_KEYWORDS

# Prompts are held in memory, some 10 kB each with their tokens, since a run is told from others by all of them, and
# goes through them in an order of its own. Who streams may have more than that, or no end.
LONGEST_STREAM = 100_000


@dataclass(frozen=True)
class PromptBatch:
    """Some prompts, as text for the rewards and as tokens for the policy.

    Attributes:
        texts: n prompts.
        columns: Further dataset columns, n entries each.
        ids: int64 [n, P], left-padded.
        mask: bool [n, P].
    """

    texts: list[str]
    columns: dict[str, list[Any]]
    ids: Tensor
    mask: Tensor

    def rows(self, start: int, stop: int) -> "PromptBatch":
        """A contiguous part, padded as the whole."""
        part = slice(start, stop)
        columns = {key: values[part] for key, values in self.columns.items()}
        return PromptBatch(self.texts[part], columns, self.ids[part], self.mask[part])

    def unpadded(self) -> "PromptBatch":
        """The same without the columns in which every row is padding."""
        used = self.mask.any(0)
        return PromptBatch(self.texts, self.columns, self.ids[:, used], self.mask[:, used])

    def chosen(self, rows: Sequence[int]) -> "PromptBatch":
        """Some rows in any order, padded as the whole."""
        columns = {key: [values[i] for i in rows] for key, values in self.columns.items()}
        return PromptBatch([self.texts[i] for i in rows], columns, self.ids[list(rows)], self.mask[list(rows)])


class PromptStream:
    """An endless stream over a dataset, shuffled anew each time it has gone round.

    Args:
        dataset: Strings, or mappings with a ``prompt`` and any further columns (a Hugging Face dataset is one). A
            prompt is a text or a conversation, a list of messages with ``role`` and ``content``, which the
            tokenizer's chat template renders. A stream, which does not tell its length, is read to its end.
        tokenizer: Turns prompts into ids; special tokens as it adds them by default.
        field: What messages call the dataset.

    Raises:
        ConfigError: For no prompts, an empty one, something that is not a string, naming its index, a column with the
            name of another keyword of rewards, or a stream of more than ``LONGEST_STREAM`` rows.
    """

    def __init__(
        self,
        dataset: Iterable[str | Mapping[str, Any]],
        tokenizer: PreTrainedTokenizerBase,
        field: str = "train_dataset",
    ):
        given = _read(_as_iterable(dataset, field), field)
        rows = [row if isinstance(row, Mapping) else {"prompt": row} for row in given]
        if not rows:
            raise ConfigError(f"{field} is empty: give at least one prompt")
        if reserved := [name for name in (*TEXT_KEYWORDS, *RUN_KEYWORDS, MESSAGES) if any(name in row for row in rows)]:
            raise ConfigError(f"{field} has a column {reserved[0]!r}, a name that gaard gives to rewards: rename it")
        rows = _rendered(rows, tokenizer, field)
        self.texts = [_checked_prompt(row, f"{field}[{index}]") for index, row in enumerate(rows)]
        for index, row in enumerate(rows):
            _check_columns(row, f"{field}[{index}]")
        names = dict.fromkeys(key for row in rows for key in row if key != "prompt")
        self.columns = {name: [row.get(name) for row in rows] for name in names}
        self.pad_token_id = int(tokenizer.pad_token_id or 0)
        self.ids = [_tokenize(tokenizer, text, f"{field}[{index}]") for index, text in enumerate(self.texts)]
        self._order: list[int] = []
        self.field = field

    @property
    def longest(self) -> tuple[str, int]:
        """The longest prompt, as an error message names it, and its number of tokens."""
        index, ids = max(enumerate(self.ids), key=lambda item: len(item[1]))
        return f"{self.field}[{index}] ({self.texts[index][:40]!r}…)", len(ids)

    @property
    def fingerprint(self) -> str:
        """A hash of all prompts and columns, to tell one dataset from another.

        Of objects that :func:`gaard.content.as_json` does not know, such as images, the type alone counts.
        """
        content = as_json([self.texts, self.columns], other=lambda value: type(value).__name__)
        return f"{len(self.texts)} prompts, sha256 {short_hash(json.dumps(content, sort_keys=True))}"

    def draw(self, count: int, generator: torch.Generator, times: int = 1) -> PromptBatch:
        """The next prompts.

        Args:
            count: How many rows.
            generator: Shuffles; the only randomness.
            times: Neighbouring rows that each prompt takes; divides ``count``.

        Returns:
            A batch, padded to its longest.
        """
        distinct = count // times
        while len(self._order) < distinct:
            self._order += torch.randperm(len(self.texts), generator=generator).tolist()
        chosen, self._order = self._order[:distinct], self._order[distinct:]
        return self._batch([prompt for prompt in chosen for _ in range(times)])

    def fresh(self) -> "PromptStream":
        """The same prompts from the beginning, without disturbing this stream."""
        other = copy.copy(self)
        other._order = []
        return other

    def state(self) -> list[int]:
        """What is still to come before the next shuffle."""
        return list(self._order)

    def restore(self, state: Sequence[int]) -> None:
        """Continue where :meth:`state` was taken.

        Raises:
            ValueError: For a state of other prompts.
        """
        if not all(isinstance(index, int) and 0 <= index < len(self.ids) for index in state):
            raise ValueError("it is of other prompts")
        self._order = list(state)

    def _batch(self, chosen: list[int]) -> PromptBatch:
        """Those prompts, left-padded."""
        width = max(len(self.ids[i]) for i in chosen)
        ids = torch.full((len(chosen), width), self.pad_token_id, dtype=torch.long)
        mask = torch.zeros(len(chosen), width, dtype=torch.bool)
        for row, i in enumerate(chosen):
            length = len(self.ids[i])
            ids[row, width - length :] = torch.tensor(self.ids[i])
            mask[row, width - length :] = True
        columns = {key: [values[i] for i in chosen] for key, values in self.columns.items()}
        return PromptBatch([self.texts[i] for i in chosen], columns, ids, mask)


def _as_iterable(dataset: Any, field: str) -> Iterable[Any]:
    # Going over a mapping gives its keys, and over a set another order in every process.
    if isinstance(dataset, (str, bytes, Mapping, Set)) or not isinstance(dataset, Iterable):
        kind = type(dataset).__name__
        given = f"a {kind} of {', '.join(map(repr, dataset))}" if isinstance(dataset, (Mapping, Set)) else repr(dataset)
        raise ConfigError(f"{field} is {given}: give a list of prompts, or of rows with a 'prompt' column")
    return dataset


def _read(dataset: Iterable[Any], field: str) -> list[Any]:
    """All rows; of what does not tell how many it has, no more than can be held."""
    if isinstance(dataset, Sized):
        return list(dataset)
    rows = list(itertools.islice(dataset, LONGEST_STREAM + 1))
    if len(rows) > LONGEST_STREAM:
        raise ConfigError(
            f"{field} is a stream of more than {LONGEST_STREAM:,} rows, and prompts are held in memory: give as "
            f"many as the run will draw, at most max_steps × batch_size, such as list({field}.take(10_000))"
        )
    return rows


def _rendered(rows: list[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, field: str) -> list[Mapping[str, Any]]:
    """Rows whose conversations are texts, with the messages in a column of their own; as they are without any."""
    spoken = [isinstance(row.get("prompt"), list) for row in rows]
    if not any(spoken):
        return rows
    if not all(spoken):
        odd = spoken.index(False)
        raise ConfigError(f"{field}[{odd}]['prompt'] is no conversation, and others are: make all of one kind")
    if not tokenizer.chat_template:
        raise ConfigError(
            f"{field}[0]['prompt'] is a list of messages, and the tokenizer has no chat template: take a chat "
            "model, set tokenizer.chat_template, or give the prompts as text"
        )
    return [
        {**row, "prompt": _as_text(row["prompt"], f"{field}[{index}]", tokenizer), MESSAGES: row["prompt"]}
        for index, row in enumerate(rows)
    ]


def _as_text(messages: list[Any], where: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """A conversation up to where the assistant speaks, or goes on with what it has begun to say."""
    if not messages or not all(isinstance(one, Mapping) and {"role", "content"} <= one.keys() for one in messages):
        raise ConfigError(
            f"{where}['prompt']={shortened(messages)} must be a list of messages, each with 'role' and 'content'"
        )
    begun = messages[-1]["role"] == "assistant"
    how = {"tokenize": False, "add_generation_prompt": not begun, "continue_final_message": begun}
    try:
        return str(tokenizer.apply_chat_template(messages, **how))
    except Exception as error:  # a template refuses in its own words: roles in another order, no system message
        raise ConfigError(f"{where}['prompt']: the chat template refuses it: {error}") from error


def _checked_prompt(row: Mapping[str, Any], where: str) -> str:
    """The prompt of one row, a non-empty string."""
    if "prompt" not in row:
        raise ConfigError(f"{where} has no 'prompt' column, only {', '.join(map(str, row)) or 'nothing'}")
    prompt = row["prompt"]
    if not isinstance(prompt, str):
        raise ConfigError(f"{where}['prompt']={prompt!r} must be a string")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{where}['prompt'] is not text: its character {error.start} is {prompt[error.start]!r}, "
            "half of a pair in UTF-16 (a surrogate): read the prompts as UTF-8, or take it out"
        ) from None
    if not prompt.strip():
        raise ConfigError(f"{where}['prompt']={prompt!r} is empty: remove it or write something")
    return prompt


def _check_columns(row: Mapping[Any, Any], where: str) -> None:
    """Rewards get columns as keywords, whose names are text."""
    for name in row:
        if not isinstance(name, str):
            raise ConfigError(f"{where} has the column {name!r}, named by {type(name).__name__}: name it by a text")


def _tokenize(tokenizer: PreTrainedTokenizerBase, text: str, where: str) -> list[int]:
    """Ids of one prompt. A rendered chat template brings its own special tokens, which must not come twice."""
    rendered = bool(tokenizer.bos_token) and text.lstrip().startswith(tokenizer.bos_token)
    ids = list(tokenizer(text, add_special_tokens=not rendered)["input_ids"])
    while ids and ids[-1] == tokenizer.eos_token_id != tokenizer.bos_token_id:
        ids.pop()  # some tokenizers close every text; a prompt is to be gone on with
    if not ids:
        raise ConfigError(f"{where}['prompt']={text!r} has no token for this tokenizer")
    return ids
