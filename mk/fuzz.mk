# Fuzzing: every tests/fuzz/fuzz_<name>.c is one libFuzzer target, linked with all layers up to
# engine, built by clang with the sanitizers into $(BUILD)-fuzz. Its corpus, tests/fuzz/corpus/<name>
# (it may be absent), is copied there first: what a run finds is never written into the tree.
#
#   make fuzz-smoke                        each target for FUZZ_SECONDS
#   make fuzz-smoke FUZZ=json FUZZ_SECONDS=600
#   build-fuzz/fuzz_json FILE              runs one input again
FUZZ_SECONDS ?= 5
FUZZ_CC      ?= clang
FUZZ_ARGS    ?= -max_len=4096
FUZZ         ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_DIR     := $(BUILD)-fuzz
FUZZ_LAYERS  := base model codec net object track engine
FUZZ_FLAGS   := -std=c17 -D_GNU_SOURCE -DBLOBFERRY_VERSION='"$(VERSION)"' -O1 -g $(WARN) \
                -fno-omit-frame-pointer -Iinclude -Isrc $(patsubst -I%,-isystem %,$(PKG_FLAGS))
FUZZ_SAN     := address,undefined
FUZZ_OBJS    := $(foreach l,$(FUZZ_LAYERS),$(patsubst src/%.c,$(FUZZ_DIR)/obj/%.o,$(wildcard src/$(l)/*.c)))

.PHONY: fuzz-smoke fuzz-build
fuzz-build: $(foreach f,$(FUZZ),$(FUZZ_DIR)/fuzz_$(f))

# One archive, so that a target takes only what it uses.
$(FUZZ_DIR)/libfuzzed.a: $(FUZZ_OBJS)
	@rm -f $@
	@ar rcs $@ $^

$(FUZZ_DIR)/obj/%.o: src/%.c Makefile mk/fuzz.mk VERSION
	@mkdir -p $(@D)
	@echo "  FUZZCC  $<"
	@$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,$(FUZZ_SAN) -fno-sanitize-recover=undefined \
	    -MMD -MP -c $< -o $@

$(FUZZ_DIR)/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_DIR)/libfuzzed.a
	@echo "  FUZZLD  $<"
	@$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer,$(FUZZ_SAN) -fno-sanitize-recover=undefined \
	    -MMD -MP -o $@ $< $(FUZZ_DIR)/libfuzzed.a $(LIBS)

# -artifact_prefix keeps crashing inputs in the build folder too.
fuzz-smoke: fuzz-build
	@set -e; for f in $(FUZZ); do \
	    mkdir -p $(FUZZ_DIR)/corpus/$$f $(FUZZ_DIR)/found; \
	    if [ -d tests/fuzz/corpus/$$f ]; then cp -R tests/fuzz/corpus/$$f/. $(FUZZ_DIR)/corpus/$$f/; fi; \
	    echo "  FUZZ    $$f for $(FUZZ_SECONDS) s"; \
	    $(FUZZ_DIR)/fuzz_$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 \
	        $(FUZZ_ARGS) -print_final_stats=1 -artifact_prefix=$(FUZZ_DIR)/found/$$f- \
	        $(FUZZ_DIR)/corpus/$$f >$(FUZZ_DIR)/fuzz_$$f.log 2>&1 || \
	        { tail -n 60 $(FUZZ_DIR)/fuzz_$$f.log; echo "fuzz_$$f found a fault, see $(FUZZ_DIR)/found" >&2; exit 1; }; \
	    sed -n 's/^stat::number_of_executed_units: */          inputs run: /p' $(FUZZ_DIR)/fuzz_$$f.log; \
	done

-include $(wildcard $(FUZZ_DIR)/obj/*/*.d $(FUZZ_DIR)/*.d)
