# db copy measured beside pg_dump | sqlite3 (not part of `make test`: some minutes).
ROWS ?= 1000000
.PHONY: bench-copy
bench-copy: deps-test ## db copy beside pg_dump | sqlite3: time, and memory at 10,000 and 1,000,000 rows
	@$(SUBMAKE) $(BUILD)/blobferry
	@BLOBFERRY_TEST_BINARY=$(abspath $(BUILD)/blobferry) tests/harness/pg run -- $(PYTHON) tests/bench/copy_rows.py --rows $(ROWS)
