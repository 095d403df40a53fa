"""Peers that need another Python: a script runs there and times itself when it is asked to."""

import subprocess
from collections.abc import Callable

from mrsr_tf.errors import InputError

ANSWER = "seconds:"  # begins the lines that answer; peers print other lines, too
# Defines `network(channels)`, a stack of convolutions, for scripts that need PyTorch.
PYTORCH_NETWORK = """
import sys, time
import numpy as np
import torch

device = "cuda" if torch.cuda.is_available() else "cpu"

def network(channels):
    layers = []
    for inputs, outputs in zip(channels, channels[1:]):
        layers += [torch.nn.Conv3d(inputs, outputs, 3, padding=1), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1]).to(device)
"""


def start_peer(python: str, script: str, *arguments: object) -> Callable[[object], float]:
    """Starts a script and returns a function that passes it a line and returns its seconds.

    Args:
        python: the interpreter.
        script: for every line of its input, prints `ANSWER` and a number of seconds.
        arguments: of the script, in sys.argv[1:].

    Raises:
        InputError: there is no such interpreter; on a call, the script has ended.
    """
    try:
        peer = subprocess.Popen(
            [python, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    except OSError:
        raise InputError(f"expected a Python interpreter, found none: {python}") from None

    def ask(line: object) -> float:
        print(line, file=peer.stdin, flush=True)
        for answer in peer.stdout or ():
            if answer.startswith(ANSWER):
                return float(answer.removeprefix(ANSWER))
        raise InputError(f"expected the script of {python} to answer, it has ended")

    return ask
