# Running the tests, plainly and under each of the sanitizers.
RUN       = $(PYTHON) tests/run
SANE_ASAN = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
# With other optimisation gcc sees other things and warns of what is not so; the plain build and clang's judge.
NO_WERROR = CFLAGS=-Wno-error
# A sanitizer's exit code must not look like one of blobferry's (0 to 5).
ASAN_ENV  = ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:exitcode=99 \
            LSAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99
VALGRIND  = valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect \
            --show-leak-kinds=definite,indirect --num-callers=30

.PHONY: test check asan valgrind tsan coverage killsweep workers help
test: deps-test ## install what is missing, build, run all tests
	@$(SUBMAKE) tests-build
	@$(RUN) --build $(BUILD)

check: deps ## format, includes, headers, lengths, banned, clang, tidy, cppcheck, tests
	@$(MAKE) --no-print-directory static
	@$(MAKE) --no-print-directory tidy
	@$(MAKE) --no-print-directory cppcheck
	@$(MAKE) --no-print-directory test

asan: deps ## all tests under AddressSanitizer, LeakSanitizer and UBSan
	@$(SUBMAKE) BUILD=build-asan $(NO_WERROR) SAN='$(SANE_ASAN)' OPT='-O1 -g' HARDEN= tests-build
	@$(ASAN_ENV) BLOBFERRY_TEST_SANITIZER=asan $(RUN) --build build-asan --limit-factor 4

# setarch -R: gcc 12's runtime does not know the wider address randomisation of newer kernels.
tsan: deps ## all tests under ThreadSanitizer
	@$(SUBMAKE) BUILD=build-tsan $(NO_WERROR) SAN='-fsanitize=thread' OPT='-O1 -g' HARDEN= tests-build
	@TSAN_OPTIONS=halt_on_error=1:exitcode=99:second_deadlock_stack=1 BLOBFERRY_TEST_SANITIZER=tsan \
	    setarch -R $(RUN) --build build-tsan --limit-factor 6

# Without _FORTIFY_SOURCE: valgrind takes its memmove for memcpy and complains of overlaps.
valgrind: deps ## the unit tests under valgrind
	@$(SUBMAKE) BUILD=build-valgrind $(NO_WERROR) OPT='-O1 -g' HARDEN= tests-build
	@BLOBFERRY_TEST_SANITIZER=valgrind $(RUN) --build build-valgrind --kinds unit --wrap '$(VALGRIND)' \
	    --limit-factor 20

coverage: deps ## line coverage of src by all tests, as text
	@rm -rf build-coverage
	@$(SUBMAKE) BUILD=build-coverage $(NO_WERROR) SAN='--coverage' OPT='-O0 -g' HARDEN= tests-build
	@$(RUN) --build build-coverage --limit-factor 3
	@mk/checks/coverage build-coverage

killsweep: deps ## kill -9 at every write, sync, send of migrate and rollback (long)
	@$(SUBMAKE) tests-build
	@BLOBFERRY_TEST_KILLSWEEP=full $(RUN) --build $(BUILD) --kinds fault --limit-factor 30

workers: deps ## 16 workers on one batch of 5,000 files, one killed -9 every second; SQLite and PostgreSQL
	@$(SUBMAKE) tests-build
	@BLOBFERRY_TEST_WORKERS=full $(RUN) --build $(BUILD) --kinds system --only workers_killed --limit-factor 5

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile mk/*.mk | sort | column -t -s '|'
