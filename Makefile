# Each target sets up everything it needs: a virtual environment of its own, the CPU build of
# TensorFlow where there is no NVIDIA GPU, and Debian's dicom3tools for the tests.
VENV ?= .venv
PYTHON ?= python3
TENSORFLOW_VERSION := 2.21.0
TENSORFLOW := $(if $(shell nvidia-smi -L 2>/dev/null),tensorflow[and-cuda],tensorflow-cpu)==$(TENSORFLOW_VERSION)
BIN := $(VENV)/bin
export MRSR_REAL_DATA ?= $(abspath ../shared/data)

.PHONY: demo test lint format lock clean

demo: $(VENV)/.installed
	PATH="$(abspath $(BIN)):$$PATH" ./demo.sh

test: lint dicom3tools
	$(BIN)/python -m pytest

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.installed: requirements.lock pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock "$(TENSORFLOW)"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# dciodvfy, which judges the DICOM we write. Its test skips, saying so, where it cannot be had.
.PHONY: dicom3tools
dicom3tools:
	@command -v dciodvfy >/dev/null || { command -v apt-get >/dev/null && \
	  SUDO=$$([ "$$(id -u)" = 0 ] || echo "sudo -n") && \
	  $$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq dicom3tools >/dev/null; } || \
	  echo "dciodvfy is not at hand and could not be installed: its test will skip"

# New locked versions, for every Python that pyproject.toml allows.
lock:
	uv pip compile --quiet --universal --extra test pyproject.toml \
	  --no-emit-package tensorflow --no-annotate --custom-compile-command "make lock" \
	  --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info demo
