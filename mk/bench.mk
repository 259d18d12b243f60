# Measuring blobferry beside its peers; see tests/bench/README.md.
#
#   make bench BENCH_RUNS=5 BENCH_WORK=small,medium,large BENCH_SERVERS=sink,sink-tls,rgw,versitygw
#   make bench BENCH_CLIENTS=blobferry,s5cmd BENCH_EXTRAS=none       a part of it
#   BENCH_DIR (/tmp/blobferry-bench)   files, peers; BENCH_RCLONE_LATEST=1 builds rclone's newest, too
SINK_SRC   := $(wildcard tests/bench/sink*.c)
BENCH_BINS := $(addprefix $(BUILD)/bench/,sink measure floor)
BENCH_DIR  ?= /tmp/blobferry-bench
DEPS_BENCH := gnuplot-nox rclone awscli s3cmd postgresql-client

.PHONY: bench bench-sink bench-tools deps-bench
bench: deps-test deps-bench ## blobferry beside rclone, s5cmd, awscli and s3cmd (an hour; BENCH_RUNS, BENCH_WORK, ...)
	@$(SUBMAKE) all bench-tools
	@BENCH_DIR='$(BENCH_DIR)' tests/bench/get-peers '$(BENCH_DIR)'
	@BENCH_DIR='$(BENCH_DIR)' $(PYTHON) tests/bench/run --build $(BUILD) $(BENCH_ARGS)
deps-bench: ## install the peers and what else only `make bench` needs
	@mk/install-packages $(DEPS_BENCH)
bench-sink: $(BUILD)/bench/sink ## a cheap S3 server that forgets the bodies, for measuring clients
bench-tools: $(BENCH_BINS)

$(BUILD)/bench/sink: $(SINK_SRC) tests/bench/sink.h Makefile mk/bench.mk
	@mkdir -p $(@D)
	@echo "  BENCH   $@"
	@$(CC) $(CFLAGS_ALL) -o $@ $(SINK_SRC) $(LDFLAGS_ALL) -lssl -lcrypto -lpthread
$(BUILD)/bench/%: tests/bench/%.c Makefile mk/bench.mk
	@mkdir -p $(@D)
	@echo "  BENCH   $@"
	@$(CC) $(CFLAGS_ALL) -o $@ $< $(LDFLAGS_ALL) -lcrypto
