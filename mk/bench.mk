# Measuring blobferry beside its peers; see tests/bench/README.md.
SINK_SRC   := $(wildcard tests/bench/sink*.c)
BENCH_BINS := $(addprefix $(BUILD)/bench/,sink measure floor)

.PHONY: bench-sink bench-tools
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
