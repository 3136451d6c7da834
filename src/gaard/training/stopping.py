"""What stops training from outside: a signal, and memory that does not suffice."""

import contextlib
from collections.abc import Iterator

import torch
from accelerate import Accelerator

from gaard.errors import GaardError
from gaard.messages import one_line
from gaard.signals import Stopping
from gaard.training.config import GAAConfig

# How PyTorch's allocator for the CPU says it, which has no error of its own.
ON_CPU = ("not enough memory", "can't allocate memory", "Cannot allocate memory")


def signal_of_any(stopping: Stopping, accelerator: Accelerator) -> int:
    """The signal that this process or one of its peers was sent: all stop behind the same step, or none.

    Args:
        stopping: Of this process.
        accelerator: Knows the peers; each has to ask.

    Returns:
        Its number; 0 if none was.
    """
    if accelerator.num_processes == 1:
        return stopping.signal
    told = torch.tensor([stopping.signal], device=accelerator.device)
    return int(accelerator.gather(told).max())


@contextlib.contextmanager
def memory_told(args: GAAConfig, doing: str) -> Iterator[None]:
    """Say what to lower where memory does not suffice.

    Args:
        args: The run's settings.
        doing: What is going on, such as ``step 3``.

    Raises:
        GaardError: In place of PyTorch's or Python's own.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _exhausted(args, doing, error) from error
    except RuntimeError as error:
        if isinstance(error, GaardError) or not any(words in str(error) for words in ON_CPU):
            raise
        raise _exhausted(args, doing, error) from error


def _exhausted(args: GAAConfig, doing: str, error: BaseException) -> GaardError:
    """Which settings take less memory, and with which of them the same run goes on."""
    at_once = args.per_device_train_batch_size
    per_device = f"{args.mini_batch_size}, the whole minibatch" if at_once is None else at_once
    again = "" if args.gradient_checkpointing else "set gradient_checkpointing, with which this run can go on; or "
    return GaardError(
        f"memory ran out at {doing} ({one_line(error)}): {again}lower per_device_train_batch_size (now {per_device}), "
        f"batch_size (now {args.batch_size}) or max_completion_length (now {args.max_completion_length}) and use "
        "another output_dir. docs/size.md tells what a model takes"
    )
