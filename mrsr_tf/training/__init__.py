"""The training loop, its callbacks and the devices it runs on."""
