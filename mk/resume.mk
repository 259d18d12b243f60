# The long form of a test that `make test` runs with 160 MiB.
.PHONY: resume
resume: deps-test ## a 2 GiB upload in parts, kill -9 in the middle: bytes sent again are counted
	@$(SUBMAKE) $(BUILD)/blobferry
	@BLOBFERRY_TEST_RESUME=1 BLOBFERRY_TEST_BINARY=$(abspath $(BUILD))/blobferry \
	    tests/harness/rgw run --memory 6144 -- $(PYTHON) tests/harness/tap_unittest.py \
	    tests/system/test_resume.py at_most_one_part_per_connection
