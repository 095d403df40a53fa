# Each target sets up everything it needs: a virtual environment of its own, the CPU build of
# TensorFlow where there is no NVIDIA GPU, and Debian's DICOM tools for the tests.
VENV ?= .venv
PYTHON ?= python3
TENSORFLOW_VERSION := 2.21.0
BEAM_VERSION := 2.77.0
TORCH_VERSION := 2.13.0
MONAI_VERSION := 1.6.1
DOSMA_VERSION := 0.1.2
AUDIT_VERSION := 2.10.1
TENSORFLOW := $(if $(shell nvidia-smi -L 2>/dev/null),tensorflow[and-cuda],tensorflow-cpu)==$(TENSORFLOW_VERSION)
BIN := $(VENV)/bin
export MRSR_REAL_DATA ?= $(abspath ../shared/data)

.PHONY: demo test beam-test bench audit lint format docs lock clean

demo: $(VENV)/.installed
	PATH="$(abspath $(BIN)):$$PATH" ./demo.sh

test: lint tools
	$(BIN)/python -m pytest -n 2 --dist loadfile
	$(MAKE) beam-test

# Apache Beam wants older releases of a few packages: they stand before those of $(VENV) in an
# environment of its own.
BEAM := $(VENV)/beam
beam-test: $(BEAM)/.installed
	$(BEAM)/bin/python -m pytest tests/tf_records_tools/test_beam_runner.py

$(BEAM)/.installed: $(VENV)/.installed
	$(PYTHON) -m venv --without-pip $(BEAM)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
	  "$$($(BEAM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth"
	$(BIN)/pip --python $(BEAM)/bin/python install --quiet --no-warn-conflicts \
	  --disable-pip-version-check apache-beam==$(BEAM_VERSION)
	touch $@

# Every benchmark, beside peers in environments of their own; SIZE is quick, usual or full, and
# OUTPUT=docs renews docs/benchmarks.md.
SIZE ?= usual
OUTPUT ?= bench
PEERS := $(VENV)/peers
TORCH_PYTHON ?= $(PEERS)/torch/bin/python
DOSMA_PYTHON ?= $(PEERS)/dosma/bin/python
bench: $(VENV)/.installed $(TORCH_PYTHON) $(DOSMA_PYTHON)
	$(BIN)/python -m benchmarks --size=$(SIZE) --output=$(OUTPUT) $(if $(ONLY),--only=$(ONLY)) \
	  --torch_python=$(TORCH_PYTHON) --dosma_python=$(DOSMA_PYTHON)

# PyTorch's own index has it without CUDA, for who has no GPU; MONAI needs no more than it and NumPy.
$(PEERS)/torch/bin/python:
	$(PYTHON) -m venv $(PEERS)/torch.partial
	$(PEERS)/torch.partial/bin/pip install --quiet --disable-pip-version-check numpy torch==$(TORCH_VERSION) \
	  $(if $(findstring and-cuda,$(TENSORFLOW)),,--extra-index-url https://download.pytorch.org/whl/cpu)
	$(PEERS)/torch.partial/bin/pip install --quiet --disable-pip-version-check --no-deps monai==$(MONAI_VERSION)
	mv $(PEERS)/torch.partial $(PEERS)/torch

$(PEERS)/dosma/bin/python:
	$(PYTHON) -m venv $(PEERS)/dosma.partial
	$(PEERS)/dosma.partial/bin/pip install --quiet --disable-pip-version-check \
	  dosma==$(DOSMA_VERSION) "numpy==1.26.*" "pydicom<3"
	mv $(PEERS)/dosma.partial $(PEERS)/dosma

# Compares the locked versions with the public advisories, which needs PyPI's own service: --strict
# makes a package that it does not answer for a failure.
audit: $(VENV)/audit/bin/pip-audit
	$< --strict --requirement requirements.lock --disable-pip --no-deps

$(VENV)/audit/bin/pip-audit:
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet --disable-pip-version-check pip-audit==$(AUDIT_VERSION)

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

# Debian packages that the tests of DICOM use: validators, dcmtk and an Orthanc server with DICOMweb.
# These tests skip and say so where the packages are not installed.
TOOLS := dicom3tools dcmtk orthanc orthanc-dicomweb
.PHONY: tools
tools:
	@PATH="$$PATH:/usr/sbin"; \
	for tool in dciodvfy dcmdump Orthanc; do command -v $$tool >/dev/null || missing=1; done; \
	ls /usr/lib/orthanc/libOrthancDicomWeb.so* >/dev/null 2>&1 || missing=1; \
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
	rm -rf $(VENV) build dist *.egg-info bench demo docs/site docs/jupyter_execute
