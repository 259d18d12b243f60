# Measuring blobferry beside its peers; see tests/bench/README.md.
#
#   make bench BENCH_RUNS=5 BENCH_WORK=small,medium,large BENCH_SERVERS=sink,sink-tls,rgw,versitygw
#   make bench BENCH_CLIENTS=blobferry,s5cmd BENCH_EXTRAS=none       a part of it
#   BENCH_DIR (/tmp/blobferry-bench)   files, peers; BENCH_RCLONE_LATEST=1 builds rclone's newest, too
SINK_SRC   := $(wildcard tests/bench/sink*.c)
BENCH_BINS := $(addprefix $(BUILD)/bench/,sink measure floor noop)
COMMA      := ,
BENCH_DIR  ?= /tmp/blobferry-bench
DEPS_BENCH := gnuplot-nox rclone awscli s3cmd postgresql-client

# What is set on make's command line goes on to the scripts.
export BENCH_RUNS BENCH_WORK BENCH_SERVERS BENCH_CLIENTS BENCH_EXTRAS BENCH_STRICT BENCH_HUGE BENCH_ROWS
.PHONY: bench bench-memory bench-sink bench-tools deps-bench
bench: deps-test deps-bench ## blobferry beside rclone, s5cmd, awscli and s3cmd (an hour; BENCH_RUNS, BENCH_WORK, ...)
	@$(SUBMAKE) all bench-tools
	@BENCH_DIR='$(BENCH_DIR)' tests/bench/get-peers '$(BENCH_DIR)'
	@BENCH_DIR='$(BENCH_DIR)' $(PYTHON) tests/bench/run --build $(BUILD) $(BENCH_ARGS)
bench-memory: ## peak memory of migrate: a sparse file of BENCH_HUGE (20G), BENCH_ROWS rows (1,000,000)
	@$(SUBMAKE) all bench-tools
	@BENCH_DIR='$(BENCH_DIR)' $(PYTHON) tests/bench/run --build $(BUILD) --strict --work 100x4K --servers none \
	    --clients blobferry --extras memory_file,memory_rows --out $(BUILD)/bench/memory
deps-bench: ## install the peers and what else only `make bench` needs
	@mk/install-packages $(DEPS_BENCH)
bench-sink: $(BUILD)/bench/sink ## a cheap S3 server that forgets the bodies, for measuring clients
bench-tools: $(BENCH_BINS)
tests-build: $(BENCH_BINS)

$(BUILD)/bench/sink: $(SINK_SRC) tests/bench/sink.h Makefile mk/bench.mk
	@mkdir -p $(@D)
	@echo "  BENCH   $@"
	@$(CC) $(CFLAGS_ALL) -o $@ $(SINK_SRC) $(LDFLAGS_ALL) -lssl -lcrypto -lpthread
# Blobferry without the cost of tracking and audit: see tests/bench/noop.c.
NOOP := $(addprefix tracker_,claim apply totals batches close set_head run_begin run_end lock unlock renew release set_upload refresh) \
        journal_add journal_commit
$(BUILD)/bench/noop: tests/bench/noop.c $(BUILD)/blobferry mk/bench.mk
	@mkdir -p $(@D)
	@echo "  BENCH   $@"
	@$(CC) $(CFLAGS_ALL) -o $@ $< $(BUILD)/obj/cli/main.o $(LDFLAGS_ALL) $(addprefix -Wl$(COMMA)--wrap=,$(NOOP)) \
	    -Wl,--start-group $(foreach l,$(LAYERS),$(call lib,$(l))) -Wl,--end-group $(LIBS)
$(BUILD)/bench/%: tests/bench/%.c Makefile mk/bench.mk
	@mkdir -p $(@D)
	@echo "  BENCH   $@"
	@$(CC) $(CFLAGS_ALL) -o $@ $< $(LDFLAGS_ALL) -lcrypto
