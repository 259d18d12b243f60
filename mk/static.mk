# Checks that read the sources and run nothing.
C_FILES    = $(shell find src include -name '*.[ch]' | sort)
TEST_FILES = $(shell find tests -name '*.[ch]' | sort)
SRC_FILES  = $(shell find src -name '*.c' | sort)
CPP_FLAGS  = -std=c17 -D_GNU_SOURCE -DBLOBFERRY_VERSION='"$(VERSION)"' -Iinclude -Isrc \
             $(patsubst -I%,-isystem %,$(PKG_FLAGS))
# As many jobs as asked for; by itself as many as there are cores.
SUBMAKE = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))

.PHONY: fmt fmt-check includes headers lengths banned static clang-build tidy cppcheck
fmt: ## format all C files
	@clang-format -i $(C_FILES) $(TEST_FILES)
fmt-check: ## fail where clang-format would change something
	@echo "  FMT     $(words $(C_FILES) $(TEST_FILES)) files"
	@clang-format --dry-run --Werror $(C_FILES) $(TEST_FILES)
includes: ## prove the one-way order of layers
	@mk/checks/includes
headers: ## each header compiles alone, with gcc and clang
	@mk/checks/headers $(CPP_FLAGS) $(WARN)
lengths: ## no file over 400 lines, no function over 60
	@mk/checks/lengths
banned: ## no banned call, and each library only in its layer
	@mk/checks/banned

# The quick ones, as CI runs them.
static: fmt-check includes headers lengths banned clang-build

clang-build: ## the whole build with clang, without a warning
	@$(SUBMAKE) CC=clang BUILD=build-clang tests-build

# One stamp per file, so that only what has changed is looked at again.
TIDY_STAMPS = $(patsubst src/%.c,build/tidy/%.ok,$(SRC_FILES))
tidy: ## clang-tidy
	@$(SUBMAKE) tidy-stamps
.PHONY: tidy-stamps
tidy-stamps: $(TIDY_STAMPS)
build/tidy/%.ok: src/%.c .clang-tidy $(shell find include src -name '*.h')
	@mkdir -p $(@D)
	@echo "  TIDY    $<"
	@clang-tidy --quiet --warnings-as-errors='*' $< -- $(CPP_FLAGS) 2>$@.log || { cat $@.log; exit 1; }
	@touch $@

# ctuuninitvar takes an out parameter that is passed on for a use of it.
cppcheck: ## cppcheck
	@echo "  CPPCHECK"
	@mkdir -p build/cppcheck
	@cppcheck --quiet --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	    --std=c11 --platform=unix64 --cppcheck-build-dir=build/cppcheck -j$(JOBS) \
	    --suppress=missingIncludeSystem --suppress=ctuuninitvar --suppress=normalCheckLevelMaxBranches \
	    -D_GNU_SOURCE -DBLOBFERRY_VERSION='""' -Iinclude -Isrc src
