"""How tests start several processes on this machine."""

import socket


def launched(processes: int) -> list[str]:
    """Arguments of Python by which Accelerate starts a script on several processes; none for one.

    ``--multi_gpu`` is how Accelerate is told to start several processes at all; ``use_cpu`` then puts them on the CPU.
    """
    if processes == 1:
        return []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no"]
    return [*launch, "--num_machines", "1", "--num_processes", str(processes), "--main_process_port", str(port)]
