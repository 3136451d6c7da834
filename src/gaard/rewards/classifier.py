"""A sequence classification model as a reward: the probability or logit of one of its labels."""

import copy
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from gaard.errors import ConfigError, ModelError, did_you_mean
from gaard.extras import need
from gaard.messages import one_line, shortened

if TYPE_CHECKING:  # transformers takes seconds to import, and most rewards do without it
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ClassifierOutput = Literal["probability", "logit"]


class ClassifierReward:
    """The score that a sequence classification model gives to a completion.

    The score of a completion does not depend on the batch that it is scored in, up to rounding.

    Args:
        model: Hugging Face id, folder, or a loaded model. A loaded model is used as it is, not copied: it is put into
            eval mode at every call, and gets a pad token id in its config where it has none.
        tokenizer: The model's own tokenizer; None loads it from where the model came from. It is copied.
        label: Name (in any case) or index of the label to score. None takes the label called POSITIVE where there is
            one, else the last.
        output: `"probability"`, in [0, 1], or `"logit"`, unbounded. A model with one label is a regression: it
            gives its one output in both cases.
        batch_size: Completions in one forward pass.
        device: Where to run. None leaves a loaded model where it is, and puts one that is loaded here on the
            accelerator where there is one.
        include_prompt: Score prompt and completion as one text; the completion alone otherwise.
        max_length: Tokens that are read of a text; None reads as many as the model can take. A longer text loses its
            end, or with `include_prompt` its start, since the completion is what is judged.

    Raises:
        MissingExtra: There is no transformers, which the extra ``train`` brings.
        ModelError: The model or tokenizer cannot be loaded, or the checkpoint has no trained classification head.
        ConfigError: An unknown label or output, or a size that cannot be used.
    """

    def __init__(
        self,
        model: "str | PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase | None" = None,
        *,
        label: str | int | None = None,
        output: ClassifierOutput = "probability",
        batch_size: int = 32,
        device: str | torch.device | None = None,
        include_prompt: bool = False,
        max_length: int | None = None,
    ) -> None:
        need("train", "a classifier as a reward", "transformers")
        if output not in get_args(ClassifierOutput):
            known = get_args(ClassifierOutput)
            raise ConfigError(
                f"output is {output!r}: choose {' or '.join(map(repr, known))}.{did_you_mean(output, known)}"
            )
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}: give 1 or more completions a forward pass")
        source = model if isinstance(model, str) else str(getattr(model, "name_or_path", ""))
        if isinstance(model, str):
            model = _load_model(model)
            device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model if device is None else model.to(device)
        self.name = (Path(source).name if Path(source).is_dir() else source) or type(model).__name__
        self.label_index = _label_index(model.config, label, self.name)
        self.output = output
        self.batch_size = batch_size
        self.include_prompt = include_prompt
        # A copy: truncation is state of the tokenizer, and the caller's may be the policy's.
        self.tokenizer = copy.deepcopy(tokenizer if tokenizer is not None else _load_tokenizer(source, self.name))
        self.tokenizer.truncation_side = "left" if include_prompt else "right"
        self.max_length = _length_limit(self.model, self.tokenizer, max_length)
        self._pad_id = _settle_pad_id(self.model, self.tokenizer)

    @torch.inference_mode()
    def __call__(self, *, prompts: Sequence[str], completions: Sequence[str], **_: Any) -> list[float]:
        """Score a batch.

        Args:
            prompts: N texts, read only with `include_prompt`.
            completions: N texts.
            **_: Not read.

        Returns:
            N floats: probabilities in [0, 1], or logits.
        """
        texts = [p + c for p, c in zip(prompts, completions, strict=True)] if self.include_prompt else completions
        if not texts:
            return []
        self.model.eval()
        rows = self._encode(list(texts))
        # Texts of like length share a batch, so that little of it is padding.
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]["input_ids"]))
        scores = torch.empty(len(rows))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            logits = self.model(**self._padded([rows[index] for index in chosen])).logits
            scores[chosen] = self._scores(logits.float()).cpu()
        return scores.tolist()

    def _encode(self, texts: list[str]) -> list[dict[str, list[int]]]:
        """Token ids, and token types where the model reads them, of each text; unpadded."""
        encoded = self.tokenizer(
            texts,
            truncation=self.max_length is not None,
            max_length=self.max_length,
            padding=False,
            return_attention_mask=False,
        )
        read = inspect.signature(self.model.forward).parameters
        keys = [key for key in ("input_ids", "token_type_ids") if key in encoded and key in read]
        rows = [{key: encoded[key][index] for key in keys} for index in range(len(texts))]
        # No model can read zero tokens, and a policy that stops at once writes an empty completion.
        tokenizer = self.tokenizer
        stand_ins = (tokenizer.bos_token_id, tokenizer.eos_token_id, self._pad_id)
        stand_in = next(token for token in stand_ins if token is not None)
        empty = {key: [stand_in] if key == "input_ids" else [0] for key in keys}
        return [row if row["input_ids"] else empty for row in rows]

    def _padded(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Stack rows into tensors [B, T] on the model's device, with the attention mask."""
        width = max(len(row["input_ids"]) for row in rows)
        # The side of the tokenizer's class (left for XLNet alone), not one set on it for generation: with absolute
        # positions, padding on the left moves the text and changes its score.
        left = getattr(type(self.tokenizer), "padding_side", "right") == "left"

        def stacked(sequences: list[list[int]], fill: int) -> torch.Tensor:
            fills = [[fill] * (width - len(sequence)) for sequence in sequences]
            pairs = zip(fills, sequences, strict=True)
            return torch.tensor([f + s if left else s + f for f, s in pairs], device=self.model.device)

        tensors = {
            key: stacked([row[key] for row in rows], self._pad_id if key == "input_ids" else 0) for key in rows[0]
        }
        tensors["attention_mask"] = stacked([[1] * len(row["input_ids"]) for row in rows], 0)
        return tensors

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits [B, labels] to scores [B]."""
        if self.output == "probability" and logits.shape[-1] > 1:
            independent = self.model.config.problem_type == "multi_label_classification"
            logits = logits.sigmoid() if independent else logits.softmax(-1)
        return logits[:, self.label_index]

    def __repr__(self) -> str:
        read = f"include_prompt={self.include_prompt}, max_length={self.max_length}"
        return f"ClassifierReward({self.name!r}, label {self.label_index}, {self.output}, {read})"


def _load_model(source: str) -> "PreTrainedModel":
    from transformers import AutoModelForSequenceClassification

    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            source, output_loading_info=True, trust_remote_code=False, use_safetensors=True
        )
    except Exception as error:  # loading raises OSError, ValueError, ImportError, RuntimeError and safetensors' own
        raise ModelError(
            f"the reward model {source!r} could not be loaded: {one_line(error)}. Give the folder or Hugging Face id "
            "of a sequence classification model; offline, download it first"
        ) from error
    # transformers draws missing weights at random and goes on; a random head is no reward.
    if info["missing_keys"]:
        raise ModelError(
            f"the reward model {source!r} lacks the weights {', '.join(sorted(info['missing_keys'])[:4])}: it is not "
            "a trained sequence classification model; train a classification head first, or choose one that has it"
        )
    return model


def _load_tokenizer(source: str, name: str) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    try:
        if not source:
            raise ValueError("the model does not say where it was loaded from")
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        # Where the files are missing, transformers may hand out a tokenizer that knows its special tokens alone.
        if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
            raise ValueError("there are no tokenizer files, or they hold no vocabulary")
    except Exception as error:  # as in _load_model
        raise ModelError(
            f"the tokenizer of the reward model {name!r} could not be loaded from {source!r}: {one_line(error)}. Save "
            "the tokenizer beside the model, or pass tokenizer="
        ) from error
    return tokenizer


def _label_index(config: Any, label: str | int | None, name: str) -> int:
    """The column of the logits to score."""
    labels = [str(config.id2label.get(index, f"LABEL_{index}")) for index in range(config.num_labels)]
    folded = [text.casefold() for text in labels]
    if label is None:
        return folded.index("positive") if "positive" in folded else len(labels) - 1
    if isinstance(label, str) and label.casefold() in folded:
        return folded.index(label.casefold())
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(labels):
        return label
    listed = ", ".join(f"{index}: {text!r}" for index, text in enumerate(labels))
    raise ConfigError(
        f"label is {shortened(label)}, which the reward model {name!r} does not have: choose the name or index of one "
        f"of {listed}"
    )


def _length_limit(model: Any, tokenizer: Any, wanted: int | None) -> int | None:
    """The most tokens that the model can read, or `wanted` where that is less; None for no limit."""
    limits = [getattr(model.config.get_text_config(), "max_position_embeddings", None)]
    for name, module in model.named_modules():
        # RoBERTa and its kin number positions from padding_idx + 1, so their table is longer than their longest text.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            limits.append(module.num_embeddings - module.padding_idx - 1)
    limits.append(tokenizer.model_max_length)
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < 10**9]  # 10**30 stands for "unknown"
    limit = min(known) if known else None
    if wanted is None:
        return limit
    if wanted < 1 or (limit is not None and wanted > limit):
        allowed = "1 or more" if limit is None else f"1 to {limit}, the most that the reward model reads"
        raise ConfigError(f"max_length is {wanted} tokens: give {allowed}, or leave it out")
    return wanted


def _settle_pad_id(model: Any, tokenizer: Any) -> int:
    """Choose the id to pad with, and see that the model knows it.

    Decoders find the last token of a text as the last that is not the pad id of their config, so the two must agree;
    the config comes first, since that is what the head was trained with.
    """
    config = model.config.get_text_config()
    candidates = (config.pad_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    size = getattr(config, "vocab_size", len(tokenizer))
    pad_id = next((token for token in candidates if isinstance(token, int) and 0 <= token < size), 0)
    config.pad_token_id = pad_id
    return pad_id
