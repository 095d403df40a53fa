"""The same network in PyTorch, in a process of a Python that has it."""

import subprocess
from collections.abc import Callable

# `network(maps)`: the convolutions whose counts of maps are those listed.
NETWORK = """
import sys, time
import numpy as np
import torch

device = "cuda" if torch.cuda.is_available() else "cpu"

def network(maps):
    layers = []
    for given, made in zip(maps, maps[1:]):
        layers += [torch.nn.Conv3d(given, made, 3, padding=1), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1]).to(device)
"""


def start(python: str, script: str, *arguments: object) -> Callable[[object], str]:
    """Starts a script that knows `network`, and gives what answers its lines of input.

    Args:
        python: the interpreter.
        script: prints one line for every line that it reads.
        arguments: of the script, from sys.argv[1] on.
    """
    peer = subprocess.Popen(
        [python, "-c", NETWORK + script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if peer.stdin is None or peer.stdout is None:
        raise OSError("expected pipes to the PyTorch process")
    given, told = peer.stdin, peer.stdout

    def ask(question: object) -> str:
        print(question, file=given, flush=True)
        return told.readline()

    return ask
