"""Whether prompts stand in the form that the model was taught: its chat template, once, and to the assistant's turn."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from gaard.lab.check.findings import Finding, share

ABOUT = "chat template"
MARKER = "gaardmarker"  # a message that no template changes
# Marks of turns in the templates of ChatML, Llama 2 and 3, Gemma, Phi and Zephyr.
MARKS = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|\[INST\]|<start_of_turn>|<\|(?:user|assistant|system)\|>|<\|end\|>"
)
RENDER = "give them as lists of messages, [{'role': 'user', 'content': …}], which gaard renders"


def conversations(dataset: Iterable[Any]) -> int:
    """How many prompts are lists of messages.

    Args:
        dataset: Prompts, or rows with a ``prompt``.

    Returns:
        Their number.
    """
    prompts = (row.get("prompt") if isinstance(row, Mapping) else row for row in dataset)
    return sum(isinstance(prompt, (list, tuple)) for prompt in prompts)


def unrendered(count: int, size: int) -> Finding:
    """What to do with prompts that are lists of messages, for a model without a chat template.

    Args:
        count: How many are.
        size: Of how many.

    Returns:
        A problem: they are refused.
    """
    seen = f"{share(count, size)} prompts are lists of messages, and the tokenizer has no chat template"
    remedy = "a model that was tuned for chat, or prompts as plain text that a reader would go on with"
    return Finding(ABOUT, "problem", f"{seen}: it is no chat model", remedy)


def template(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], ids: Sequence[Sequence[int]]) -> Finding:
    """Whether prompts fit the tokenizer's chat template, or there is none and they fit that.

    Args:
        tokenizer: The model's.
        prompts: As texts.
        ids: As the policy gets them, one list of token ids a prompt.

    Returns:
        The gravest that was found.
    """
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    doubled = [one for one in ids if any(a == b and a in special for a, b in pairwise(one))]
    if doubled:
        token = next(a for a, b in pairwise(doubled[0]) if a == b and a in special)
        name = tokenizer.convert_ids_to_tokens(token)
        seen = f"{share(len(doubled), len(ids))} prompts hold the special token {name!r} twice in a row"
        return Finding(ABOUT, "problem", seen, "render the template once, and leave out what the tokenizer adds itself")
    return _with_template(tokenizer, prompts) if tokenizer.chat_template else _without_template(tokenizer, prompts)


def _without_template(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> Finding:
    """Marks of turns that the model has no tokens for."""
    known = set(tokenizer.get_added_vocab())
    strange = [[mark for mark in MARKS.findall(prompt) if mark not in known] for prompt in prompts]
    marked = [marks for marks in strange if marks]
    if marked:
        seen = f"{share(len(marked), len(prompts))} prompts have marks of a chat, such as {marked[0][0]!r}"
        remedy = "prompts as plain text, or a model that was tuned for chat"
        return Finding(ABOUT, "problem", f"{seen}, but the tokenizer has no chat template and no such token", remedy)
    return Finding(ABOUT, "fine", f"{len(prompts)} prompts of plain text, and a tokenizer without a chat template")


def _with_template(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> Finding:
    """Prompts that are not in the template, are in it twice, or stop before the assistant's turn."""
    try:
        before, after, opening = _parts(tokenizer)
    except (TemplateError, ValueError, TypeError) as error:
        seen = f"the tokenizer's chat template cannot be rendered for one message of a user: {error}"
        return Finding(ABOUT, "note", seen, "read a prompt as the policy gets it: tokenizer.decode(ids)")
    size = len(prompts)
    twice = sum(bool(before) and before * 2 in one for one in prompts)
    plain = sum(not any(mark in one for mark in _marks(before, after, tokenizer)) for one in prompts)
    unopened = sum(opening.strip() not in one for one in prompts)
    if plain:
        remedy = f"{RENDER}. If it is a base model whose tokenizer only carries a template, go on"
        seen = f"{share(plain, size)} prompts are plain text, but the tokenizer has a chat template"
        return Finding(ABOUT, "problem", seen, remedy)
    if twice:
        remedy = "render each prompt once"
        return Finding(ABOUT, "problem", f"{share(twice, size)} prompts went through the chat template twice", remedy)
    if unopened:
        seen = f"{share(unopened, size)} prompts do not open the assistant's turn, {opening.strip()!r}"
        return Finding(ABOUT, "problem", seen, f"render them with add_generation_prompt=True, or {RENDER}")
    return Finding(ABOUT, "fine", f"{size} prompts are in the tokenizer's chat template, each to the assistant's turn")


def _parts(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str, str]:
    """What the template puts before and after a user's message, and how it opens the assistant's turn."""
    message = [{"role": "user", "content": MARKER}]
    closed, opened = (
        str(tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=opens))
        for opens in (False, True)
    )
    before, found, after = opened.partition(MARKER)
    if not found:
        raise ValueError("it leaves out what the user says")
    # Without a form of its own, such as after [/INST], the turn is open where the user's ends.
    return before, after, opened.removeprefix(closed) if opened.startswith(closed) and opened != closed else after


def _marks(before: str, after: str, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """What a text in the template is known by: special tokens of it, or else its own words."""
    own = [token for token in tokenizer.get_added_vocab() if token in before + after and token != tokenizer.bos_token]
    marks = [*own, *MARKS.findall(before + after)]
    return marks or [part.strip() for part in (before, after) if part.strip()]
