# `make` alone lists what can be done. Each target first sets up .venv, once, and again after pyproject.toml or constraints.txt changed.

PYTHON ?= python3

# Jupyter, IPython and matplotlib keep their files in .venv, not in the user's home.
export JUPYTER_CONFIG_DIR := $(CURDIR)/.venv/home/jupyter
export JUPYTER_DATA_DIR := $(CURDIR)/.venv/home/jupyter-data
export JUPYTER_RUNTIME_DIR := $(CURDIR)/.venv/home/jupyter-runtime
export IPYTHONDIR := $(CURDIR)/.venv/home/ipython
# The stages of dvc.yaml call python, which must be that of .venv.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export MPLCONFIGDIR := $(CURDIR)/.venv/home/matplotlib

.PHONY: help repro study benchmarks test lab clean constraints

help: ## list what make can do
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

repro: .venv/set-up ## run every stage that is not up to date, and write reports/site/index.html
	@.venv/bin/python tools/repro.py

study: .venv/set-up ## run the comparison of study.yaml, all methods, lengths and seeds: hours; continues after a stop
	@.venv/bin/python -m bcdh_lib.comparison

benchmarks: .venv/set-up ## download a published benchmark: make benchmarks NAME=oxford5k (paris6k, holidays, roxford5k, rparis6k)
	@.venv/bin/python -m bcdh_lib.retrieval.download "$(NAME)"

test: .venv/set-up ## check style and types, and run the tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy & types=$$!; .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder; tests=$$?; \
		wait $$types && exit $$tests

lab: .venv/set-up ## open the notebooks in JupyterLab
	@.venv/bin/python tools/lab.py
	@.venv/bin/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

clean: ## remove everything that the study made, its cache included; keeps published benchmarks and .venv
	@rm -rf $(filter-out data/benchmarks,$(wildcard data/*)) data/benchmarks/rendered_* work reports/site reports/executed
	@rm -rf .dvc/cache .dvc/tmp .pytest_cache .ruff_cache .mypy_cache
	@find bcdh_lib tests -name __pycache__ -exec rm -rf {} +

constraints: .venv/set-up ## pin the newest versions of what pyproject.toml needs in constraints.txt
	@.venv/bin/python -m pip install --quiet uv
	@.venv/bin/uv pip compile --universal --python-version 3.11 --all-extras --no-annotate --no-header --quiet --upgrade \
		pyproject.toml -o constraints.txt

.venv/set-up: pyproject.toml constraints.txt tools/setup.sh
	@tools/setup.sh "$(PYTHON)"
