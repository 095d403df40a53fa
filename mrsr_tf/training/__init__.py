"""The training loop, its validation and monitoring, and the devices it runs on."""
