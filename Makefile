# Two commands from a clean clone: `make book` and `make test`, in either order. `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help venv book test unit notebooks browser lab refresh api bench lock clean

VENV := .venv
PY := $(VENV)/bin/python
# Workers of tests and of the book's notebooks. Each one computes in a single thread: results then do not depend on the
# number of cores.
JOBS ?= 2

# The environment is exactly .venv: nothing from the user's own site-packages, kernels or PYTHONPATH leaks in.
unexport PYTHONPATH PYTHONHOME
export PYTHONNOUSERSITE := 1
export JUPYTER_PREFER_ENV_PATH := 1

# Images beside the checkout, if they are there and nothing else is said; by an absolute path, since notebooks run in book/.
# conftest.py and the tools find them by themselves, for those who call them without make.
IMAGES := $(abspath $(wildcard ../shared/data/fashion-mnist))
ifneq ($(IMAGES),)
export FASHION_MNIST_DIR ?= $(IMAGES)
endif

PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile
NBVAL = --nbval --nbval-current-env --nbval-sanitize-with tests/book/nbval.cfg
NOTEBOOKS = $(wildcard book/*.ipynb)

help:  ## this list
	@echo "make book       build the book: every notebook is executed, pages go to _build/html"
	@echo "make test       everything below: unit tests, notebooks, browser"
	@echo "  make unit       the library and the book's own checks"
	@echo "  make notebooks  run every notebook and compare what it prints with what is stored (nbval)"
	@echo "  make browser    open every page of the built book in a headless Chromium"
	@echo "make lab        JupyterLab on the book"
	@echo "make refresh    run every notebook and store its outputs in place; write book/api.md anew"
	@echo "make bench      the races of benchmarks/: half an hour"
	@echo "make lock       compute requirements.lock anew from pyproject.toml"
	@echo "make venv       only create .venv (the others do it when needed)"
	@echo "make clean      remove everything that the commands above created, .venv included"
	@echo
	@echo "PYTHON=... chooses the interpreter of .venv (3.11, 3.12 or 3.13); JOBS=... the workers of tests and notebooks (now $(JOBS))"

venv:
	@tools/venv.sh

book: venv
	@JOBS=$(JOBS) $(PY) tools/build_book.py

test: venv
	@$(PYTEST) $(NBVAL) tests $(NOTEBOOKS)

unit: venv
	@$(PYTEST) -m "not browser" tests

notebooks: venv
	@$(PYTEST) $(NBVAL) $(NOTEBOOKS)

browser: venv
	@$(PYTEST) -m browser tests/book

lab: venv
	@$(PY) -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) book

refresh: venv
	@$(PY) tools/refresh.py $(NOTEBOOKS)
	@$(PY) tools/make_api.py

api: venv
	@$(PY) tools/make_api.py

bench: venv
	@$(PY) benchmarks/limit_engine.py --save
	@$(PY) benchmarks/population.py
	@$(PY) benchmarks/decide.py --save

lock: venv
	@tools/lock.sh

clean:
	@rm -rf $(VENV) _build .pytest_cache .ruff_cache .hypothesis lib/*.egg-info
	@find lib tests tools benchmarks book -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
	@echo "Removed .venv, _build and caches"
