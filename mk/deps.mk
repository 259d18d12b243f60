# What has to be installed, all of it from Debian 12. `make deps` installs what is missing and is silent otherwise.
DEPS_PRODUCT := build-essential pkg-config libcurl4-openssl-dev libssl-dev libsqlite3-dev libpq-dev \
                libcjson-dev libmicrohttpd-dev libsmartcols-dev libinih-dev libutf8proc-dev
DEPS_TEST    := libcmocka-dev sqlite3 python3 python3-boto3 radosgw ceph-mon ceph-osd ceph-common \
                procps strace faketime postgresql pgbouncer python3-psycopg2 python3-yaml openssl
# wrangler (and the node that it needs) come from npm, for the tests on D1; any npm serves.
DEPS_TEST    += $(if $(shell command -v npm),,npm)
DEPS_CHECK   := clang clang-format clang-tidy cppcheck valgrind libclang-rt-14-dev mandoc

.PHONY: deps deps-product deps-test deps-d1
deps: ## install everything that building, testing and checking need
	@mk/install-packages $(DEPS_PRODUCT) $(DEPS_TEST) $(DEPS_CHECK)
deps-product: ## install only what building needs
	@mk/install-packages $(DEPS_PRODUCT)
deps-test: ## install what building and testing need
	@mk/install-packages $(DEPS_PRODUCT) $(DEPS_TEST)
deps-d1: ## fetch wrangler for the tests on D1 (else the first test that needs it does)
	@tests/harness/d1 install
