"""Super-resolution by sparse coding (ScSR), the paper's third baseline."""
