"""What stops training from outside: a signal, memory that does not suffice, another process that is gone."""

import contextlib
from collections.abc import Iterator

import torch
from accelerate import Accelerator

from gaard.errors import GaardError
from gaard.messages import one_line
from gaard.signals import Stopping
from gaard.training.config import GAAConfig
from gaard.training.damage import is_exhausted

# How Gloo and NCCL say that another process does not answer.
OF_PEERS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Timed out",
    "Socket Timeout",
    "NCCL",
)


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
def stops_told(args: GAAConfig, accelerator: Accelerator, doing: str) -> Iterator[None]:
    """Say what to lower where memory does not suffice, and that another process is gone where one is.

    Args:
        args: The run's settings.
        accelerator: Knows whether there are other processes.
        doing: What is going on, such as ``step 3``.

    Raises:
        GaardError: In place of PyTorch's or Python's own.
    """
    try:
        yield
    except GaardError:
        raise
    except (RuntimeError, MemoryError) as error:
        if is_exhausted(error):
            raise _exhausted(args, doing, error) from error
        if accelerator.num_processes > 1 and any(words in str(error) for words in OF_PEERS):
            raise GaardError(
                f"another process of this run does not answer at {doing} ({one_line(error)}): see in its output what "
                "ended it. The same command with as many processes goes on from the last checkpoint"
            ) from error
        raise


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
