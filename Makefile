# `make demo` and `make test` do all the set-up by themselves, each in an environment of its own.

PYTHON ?= python3
DEMO := .venv-demo
TEST := .venv-test
PLUGINS := .venv-plugins
DOCS := .venv-docs
FUZZ := .venv-fuzz
SECONDS ?= 600
# One process per core: threads of several processes would wait for each other.
# In the order of their names, in which no file that takes minutes comes last.
PYTEST := OMP_NUM_THREADS=1 $(TEST)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
PIP := -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Tests start hundreds of processes, which would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check lint test test-long docs fuzz clean

demo: $(DEMO)/ready
	$(DEMO)/bin/zoo phantom skull -o demo --seed 1000003
	$(DEMO)/bin/zoo predict skull-completion-64.phantom -i demo/defective_skull/000.nii.gz \
	    -o demo/complete.nii.gz --implant demo/implant.nii.gz \
	    --preview demo/preview.png --report demo/report.json
	@echo "written: demo/complete.nii.gz, demo/implant.nii.gz, demo/preview.png, demo/report.json"

check: lint
	$(PYTEST) -m 'not slow'

lint: $(TEST)/installed
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy

test:
	$(MAKE) --no-print-directory -j2 $(TEST)/ready lint $(PLUGINS)/ready
	$(PYTEST) -m 'not long'
	OMP_NUM_THREADS=1 $(PLUGINS)/bin/python -m pytest -n auto --dist loadfile zoo_plugins
	OMP_NUM_THREADS=1 $(PLUGINS)/bin/python -m pytest tests/fuzz -k 'dicom or dcm'

# What takes longest, and sees from end to end what other tests see in parts.
test-long: $(TEST)/ready
	$(PYTEST) -m long

docs: $(DOCS)/ready
	$(DOCS)/bin/sphinx-build --quiet --fail-on-warning --keep-going docs build/docs
	@echo "written: build/docs/index.html"

# Damaged input of every kind, for so many seconds; see docs/background/faults.md.
fuzz: $(FUZZ)/ready
	OMP_NUM_THREADS=1 $(FUZZ)/bin/python tests/fuzz/campaign.py $(SECONDS)

$(DEMO)/ready: pyproject.toml constraints.txt $(shell find zoo cards -type f -not -name '*.pyc')
	$(PYTHON) -m venv --clear $(DEMO)
	$(DEMO)/bin/python $(PIP) .
	touch $@

$(TEST)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(TEST)
	$(TEST)/bin/python $(PIP) -e '.[dev,minkowski]'
	touch $@

$(TEST)/ready: $(TEST)/installed tools/minkowski_wheel.sh
	tools/minkowski_wheel.sh $(TEST)/bin/python
	touch $@

# The zoo and its plugins as users have them: wheels. What they need and the tests have is not installed twice.
$(PLUGINS)/ready: $(TEST)/installed $(shell find zoo cards zoo_plugins -type f -not -name '*.pyc')
	$(PYTHON) -m venv --clear $(PLUGINS)
	$(TEST)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	    > "$$($(PLUGINS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tests.pth"
	$(PLUGINS)/bin/python $(PIP) . $(addprefix ./zoo_plugins/,zoo-dicom zoo-mesh zoo-ray zoo-spconv[cpu] zoo-vessels)
	touch $@

$(DOCS)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(DOCS)
	$(DOCS)/bin/python $(PIP) --upgrade pip
	$(DOCS)/bin/python $(PIP) --group docs -e .
	touch $@

$(FUZZ)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(FUZZ)
	$(FUZZ)/bin/python $(PIP) -e '.[dev]' -e zoo_plugins/zoo-dicom
	touch $@

clean:
	rm -rf $(DEMO) $(TEST) $(PLUGINS) $(DOCS) $(FUZZ) demo build/docs docs/generated
