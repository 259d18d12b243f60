# Does the size of the table matter? See docs/scale.md. SCALE_ARGS: '--db postgres://…', '--rows 10000,100000', '--json FILE'.
SCALE_ARGS ?=
SCALE_BIN  := $(BUILD)/bench/scale_claim

.PHONY: scale
scale: deps ## claims, status, rollback selection and memory at 10,000 and 1,000,000 rows (minutes)
	@$(SUBMAKE) $(BUILD)/blobferry $(SCALE_BIN)
	@$(PYTHON) tests/bench/scale.py --build $(BUILD) $(SCALE_ARGS)

$(SCALE_BIN): tests/bench/scale_claim.c $(foreach l,$(call with,track),$(call lib,$(l))) Makefile
	@mkdir -p $(@D)
	@echo "  BENCH   $<"
	@$(CC) $(CFLAGS_ALL) -MMD -MP -o $@ $< $(LDFLAGS_ALL) -Wl,--start-group \
	    $(foreach l,$(call with,track),$(call lib,$(l))) -Wl,--end-group $(LIBS)
