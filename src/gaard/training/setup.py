"""What a trainer is made of, checked before any training time is spent."""

import atexit
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gaard.errors import ConfigError, ModelError
from gaard.messages import one_line, warn
from gaard.models.loading import check_vocabulary, load_model_and_tokenizer
from gaard.policy import kernels
from gaard.policy.recomputation import recompute_layers
from gaard.training.config import GAAConfig


def build_accelerator(args: GAAConfig) -> Accelerator:
    """The run's accelerator, once its trackers are there and its processes can share the batches.

    Args:
        args: The run's settings.

    Returns:
        An accelerator in the run's precision.

    Raises:
        ConfigError: For a tracker that is not installed, or batches that the processes cannot share.
    """
    for tracker in args.report_to:
        if importlib.util.find_spec(tracker) is None:
            raise ConfigError(f"report_to={tracker!r} is not installed: pip install 'gaard[{tracker}]'")
    # Accelerate keeps precision and device for the process; a second trainer may want others than the first.
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        mixed_precision="bf16" if args.bf16 else "no",
        cpu=args.use_cpu,
        log_with=args.report_to or None,
        project_dir=args.output_dir,
    )
    if accelerator.device.type == "cpu":
        if args.cpu_kernels:
            kernels.keep_freed_memory()
        atexit.register(end_process_group)
    processes = accelerator.num_processes
    for name, size in (("batch_size", args.batch_size), ("minibatch size", args.mini_batch_size)):
        if size % processes:
            raise ConfigError(
                f"{name}={size} cannot be shared by {processes} processes: make batch_size / num_mini_batches a "
                f"multiple of {processes}"
            )
    return accelerator


def end_process_group() -> None:
    """Leave the other processes while the interpreter is whole, if that is still to be done.

    Gloo, by which processes speak to each other on the CPU, has threads that abort a process which ends before them
    (pytorch/pytorch#190489): a run that was done would now and then be called failed.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def load(
    model: str | Path | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    warn: Callable[[str], None] = warn,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in float32, and a tokenizer that fits it.

    Args:
        model: A name, a path, or a loaded model.
        tokenizer: The user's, if any.
        warn: Told if the model was in half precision.

    Returns:
        Both.

    Raises:
        ModelError: For a model of another kind, or without a tokenizer that fits it.
    """
    if not isinstance(model, (str, Path, PreTrainedModel)):
        raise ModelError(
            f"model is a {type(model).__name__}: give a name, a path, or a transformers model (instead of "
            "PEFT's get_peft_model(model, config), give the model and peft_config=config)"
        )
    if isinstance(model, PreTrainedModel):
        if tokenizer is None:
            raise ModelError("model is a loaded model: give its tokenizer as processing_class")
        lm = model
    else:
        lm, own = load_model_and_tokenizer(model)
        tokenizer = tokenizer or own
    if lm.dtype in (torch.bfloat16, torch.float16):
        warn(
            f"the model is in {lm.dtype}, in which small updates are lost: training it in float32; bf16=True makes "
            "forwards and backwards bfloat16"
        )
        lm = lm.float()
    embedded = lm.get_input_embeddings().weight.shape[0]
    check_vocabulary(tokenizer, embedded, "the tokenizer")
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id >= embedded:
        raise ModelError(
            f"the tokenizer's pad token has id {tokenizer.pad_token_id}, but the model embeds {embedded}, from 0: set "
            "tokenizer.pad_token = tokenizer.eos_token"
        )
    return lm, tokenizer


def prepare(lm: PreTrainedModel, args: GAAConfig, peft_config: Any = None) -> None:
    """What settings do to a model before it is trained.

    Args:
        lm: The model, changed in place.
        args: The run's settings.
        peft_config: As for :func:`add_adapter`; None adds none.

    Raises:
        ConfigError: If the model does not take it.
    """
    if peft_config is not None:
        add_adapter(lm, peft_config)
    if args.gradient_checkpointing:
        recompute_layers(lm)


def add_adapter(lm: PreTrainedModel, config: Any) -> None:
    """Add an adapter by PEFT, the only part of the model that then trains.

    Args:
        lm: The model, changed in place.
        config: PEFT's, such as ``LoraConfig(r=8)``.

    Raises:
        ConfigError: If PEFT is not installed, or does not take the configuration for this model.
    """
    if importlib.util.find_spec("peft") is None:
        raise ConfigError("peft_config is given, and PEFT is not installed: pip install 'gaard[peft]'")
    try:
        lm.add_adapter(config)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"peft_config={type(config).__name__}(…): {one_line(error)}") from error


def eos_token_ids(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends a completion, as the generation config and the tokenizer name them.

    Args:
        lm: The model.
        tokenizer: Its tokenizer.

    Returns:
        Distinct ids in order; may be empty.
    """
    configured = getattr(lm.generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured]
    return sorted({int(i) for i in [*ids, tokenizer.eos_token_id] if i is not None})
