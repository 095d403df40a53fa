"""Super-resolution by sparse coding (ScSR), the paper's third baseline."""

from eval.sparse.scsr import ScSR

__all__ = ["ScSR"]
