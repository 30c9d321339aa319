# Two commands on a fresh machine: make run, make test. Everything is installed into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install run transfer test test-all check format docs dist bench sanitize arm clean

install: $(INSTALLED)

# Again whenever the dependencies or the native engine's sources change. A missing compiler is no error: lenet then
# trains with PyTorch, and says so. --no-compile: Python compiles the files that it imports, a tenth of all, by itself.
$(INSTALLED): pyproject.toml constraints.txt $(wildcard CMakeLists.txt native/*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

run: install
	$(BIN)/lenet train

transfer: install
	$(BIN)/lenet study digits-transfer

# Two files at a time: half of the tests wait, for processes that are killed or for Ray to start. If there is a
# compiler, a native engine that was not built is an error: its tests would be skipped.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
test test-all: export LENET_REQUIRE_NATIVE ?= $(shell command -v c++ || command -v g++ || command -v clang++)

test: install
	$(PYTEST) -m "not slow"

test-all: install
	$(PYTEST)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# docs/cli.md and docs/api.md, which a test compares with the code.
docs: install
	$(BIN)/python docs/generate.py

# The sdist, and the wheel that it builds; a wheel without the native engine is an error.
dist: install
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m zipfile --list dist/*.whl | grep "lenet/_native"

sanitize: install
	bash native/sanitize.sh

arm:
	sh native/arm.sh

bench: install
	$(BIN)/python benchmarks/train_speed.py
	$(BIN)/python benchmarks/engine_speed.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
