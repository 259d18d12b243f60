# blobferry: see README.md. Everything is built below $(BUILD); nothing else in the tree changes.
BUILD   ?= build
CC      ?= gcc
PYTHON  ?= /usr/bin/python3
JOBS    ?= $(shell nproc)
VERSION := $(shell cat VERSION)

PKGS      := libcurl openssl sqlite3 libpq libcjson libmicrohttpd smartcols inih libutf8proc
PKG_FLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS  := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

WARN := -Wall -Wextra -Wconversion -Wshadow -Wcast-qual -Wformat=2 -Wmissing-prototypes \
        -Wstrict-prototypes -Wvla -Werror
HARDEN ?= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong
OPT    ?= -O2 -g
SAN    ?=
CFLAGS_ALL := -std=c17 -D_GNU_SOURCE -DBLOBFERRY_VERSION='"$(VERSION)"' $(OPT) $(HARDEN) -fPIE $(WARN) \
              -Iinclude -Isrc $(patsubst -I%,-isystem %,$(PKG_FLAGS)) $(SAN) $(CFLAGS)
LDFLAGS_ALL := -pie -Wl,-z,relro,-z,now $(SAN) $(LDFLAGS)
LIBS := $(PKG_LIBS) -lpthread -lm

# The one-way order of layers (DESIGN.md section 2). Archives are linked from high to low.
LAYERS := base model codec net object track engine app web cli
lib     = $(BUILD)/lib$(1).a
objs    = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(filter-out src/cli/main.c,$(wildcard src/$(1)/*.c)))
with    = $(wordlist 1,$(call position,$(1)),$(LAYERS))
position = $(words $(_pos-$(1)))
_pos-base   := 1
_pos-model  := 1 2
_pos-codec  := 1 2 3
_pos-net    := 1 2 3 4
_pos-object := 1 2 3 4 5
_pos-track  := 1 2 3 4 5 6
_pos-engine := 1 2 3 4 5 6 7
_pos-app    := 1 2 3 4 5 6 7 8
_pos-web    := 1 2 3 4 5 6 7 8 9
_pos-cli    := 1 2 3 4 5 6 7 8 9 10

.PHONY: all
all: $(BUILD)/blobferry

# One archive per layer, from whatever .c files lie in it.
define layer_rules
$(call lib,$(1)): $(call objs,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach l,$(LAYERS),$(eval $(call layer_rules,$(l))))

$(BUILD)/obj/%.o: src/%.c Makefile VERSION
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

$(BUILD)/blobferry: $(BUILD)/obj/cli/main.o $(foreach l,$(LAYERS),$(call lib,$(l)))
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(foreach l,$(LAYERS),$(call lib,$(l))) -Wl,--end-group $(LIBS)

# ---- helpers in C that tests may use: #include "harness/scripted_server.h" ----------------------
HARNESS := $(BUILD)/libharness.a
$(BUILD)/harness/%.o: tests/harness/%.c Makefile
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(CFLAGS_ALL) -Itests -MMD -MP -c $< -o $@

$(HARNESS): $(patsubst tests/harness/%.c,$(BUILD)/harness/%.o,$(wildcard tests/harness/*.c))
	@rm -f $@
	@ar rcs $@ $^

# ---- unit tests: tests/unit/<layer>/test_<module>.c sees that layer and those below it ----------
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
define unit_rules
$(BUILD)/unit/$(1)/%: tests/unit/$(1)/%.c $(foreach l,$(call with,$(1)),$(call lib,$(l))) $(HARNESS) Makefile
	@mkdir -p $$(@D)
	@echo "  TEST    $$<"
	@$(CC) $(CFLAGS_ALL) -Itests -MMD -MP -o $$@ $$< $(LDFLAGS_ALL) $(HARNESS) -Wl,--start-group \
	    $(foreach l,$(call with,$(1)),$(call lib,$(l))) -Wl,--end-group $(LIBS) -lcmocka
endef
$(foreach l,$(LAYERS),$(eval $(call unit_rules,$(l))))

# ---- contract tests: one suite over every driver ----------------------------------------------
CONTRACT_SRC := $(wildcard tests/contract/test_*.c)
CONTRACT_BIN := $(patsubst tests/contract/%.c,$(BUILD)/contract/%,$(CONTRACT_SRC))
$(BUILD)/contract/%: tests/contract/%.c $(foreach l,$(call with,engine),$(call lib,$(l))) $(HARNESS) Makefile
	@mkdir -p $(@D)
	@echo "  TEST    $<"
	@$(CC) $(CFLAGS_ALL) -Itests -MMD -MP -o $@ $< $(LDFLAGS_ALL) $(HARNESS) -Wl,--start-group \
	    $(foreach l,$(call with,engine),$(call lib,$(l))) -Wl,--end-group $(LIBS) -lcmocka

.PHONY: tests-build clean
tests-build: $(BUILD)/blobferry $(UNIT_BIN) $(CONTRACT_BIN) $(BUILD)/fault/failalloc.so $(BUILD)/bench/sink

# Preloaded by tests/fault/test_memory.py.
$(BUILD)/fault/%.so: tests/fault/%.c Makefile
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) -std=c17 -D_GNU_SOURCE -O2 -g -fPIC -shared -Wall -Wextra -fno-builtin -o $@ $<

-include $(wildcard mk/*.mk)

clean:
	rm -rf build build-*

-include $(wildcard $(BUILD)/obj/*/*.d $(BUILD)/unit/*/*.d $(BUILD)/contract/*.d $(BUILD)/harness/*.d)
