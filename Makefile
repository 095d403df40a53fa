# Each target sets up everything it needs: a virtual environment of its own, the CPU build of
# TensorFlow where there is no NVIDIA GPU, and Debian's DICOM tools for the tests.
VENV ?= .venv
PYTHON ?= python3
TENSORFLOW_VERSION := 2.21.0
BEAM_VERSION := 2.77.0
TENSORFLOW := $(if $(shell nvidia-smi -L 2>/dev/null),tensorflow[and-cuda],tensorflow-cpu)==$(TENSORFLOW_VERSION)
BIN := $(VENV)/bin
export MRSR_REAL_DATA ?= $(abspath ../shared/data)

.PHONY: demo test beam-test lint format docs lock clean

demo: $(VENV)/.installed
	PATH="$(abspath $(BIN)):$$PATH" ./demo.sh

test: lint tools
	$(BIN)/python -m pytest -n 2 --dist loadfile
	$(MAKE) beam-test

# Apache Beam wants older releases of a few packages: they stand before those of $(VENV) in an
# environment of its own.
BEAM := $(VENV)/beam
beam-test: $(BEAM)/.installed
	$(BEAM)/bin/python -m pytest tests/test_on_beam.py

$(BEAM)/.installed: $(VENV)/.installed
	$(PYTHON) -m venv --without-pip $(BEAM)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
	  "$$($(BEAM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth"
	$(BIN)/pip --python $(BEAM)/bin/python install --quiet --no-warn-conflicts \
	  --disable-pip-version-check apache-beam==$(BEAM_VERSION)
	touch $@

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed
	$(BIN)/python -m sphinx --fail-on-warning -q docs docs/site

$(VENV)/.installed: requirements.lock pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock "$(TENSORFLOW)"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# What judges the DICOM we write: dciodvfy, dcmtk and an Orthanc server. Their tests skip, saying
# so, where they cannot be had.
TOOLS := dicom3tools dcmtk orthanc
.PHONY: tools
tools:
	@PATH="$$PATH:/usr/sbin"; \
	for tool in dciodvfy dcmdump Orthanc; do command -v $$tool >/dev/null || missing=1; done; \
	[ -z "$$missing" ] || { command -v apt-get >/dev/null && \
	  SUDO=$$([ "$$(id -u)" = 0 ] || echo "sudo -n") && \
	  $$SUDO apt-get update -qq && $$SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(TOOLS) >/dev/null; } || \
	  echo "$(TOOLS) could not all be installed: tests that need them will skip"

# New locked versions, for every Python that pyproject.toml allows.
lock:
	uv pip compile --quiet --universal --extra test pyproject.toml \
	  --no-emit-package tensorflow --no-annotate --custom-compile-command "make lock" \
	  --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info demo docs/site
