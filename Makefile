# Two targets are all a newcomer needs: `make run` and `make test`. Everything installs into .venv.
PYTHON ?= python3
PIP = .venv/bin/python -m pip --disable-pip-version-check
STAMP = .venv/.installed
TEST_STAMP = .venv/.installed-test

.PHONY: run test check bench-front bench-guards bench-guard-latency bench-prefix bench-quality wheel constraints clean

run: $(STAMP)
	@. .venv/bin/activate && exec gatehouse serve --config deploy/gatehouse.quickstart.yaml

# torch first: an unpinned torch would bring gigabytes of GPU libraries. Last the extra `fast`, compiled here and not in
# the first start.
$(STAMP): pyproject.toml constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet torch==2.13.0
	$(PIP) install --quiet --constraint constraints.txt --editable .
	$(PIP) install --quiet --constraint constraints.txt --only-binary :all: numba && .venv/bin/python -m engine.fused.ahead \
		|| echo "no compiled loops on this machine: the engine answers all the same, at a third of the speed"
	touch $@

$(TEST_STAMP): $(STAMP)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

test: $(TEST_STAMP)
	. .venv/bin/activate && sh tests/check.sh

check: test

wheel: $(TEST_STAMP)
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .

bench-front: $(TEST_STAMP)
	.venv/bin/python -m bench.front

bench-guards: $(TEST_STAMP)
	.venv/bin/python -m bench.guards

bench-guard-latency: $(TEST_STAMP)
	.venv/bin/python -m bench.guard_latency

bench-prefix: $(TEST_STAMP)
	.venv/bin/python -m bench.prefix

bench-quality: $(TEST_STAMP)
	.venv/bin/python -m bench.guard_quality

constraints: $(TEST_STAMP)
	{ head -1 constraints.txt; $(PIP) freeze --all --exclude-editable --exclude pip | sed 's/+cpu//'; } > constraints.new && mv constraints.new constraints.txt

clean:
	rm -rf .venv build dist var *.egg-info
