# The whole job, on a real S3 server that lives as long as the demo.
.PHONY: demo
demo: deps-test ## install what is missing, build, run the whole job against a private Ceph RGW
	@$(SUBMAKE) all
	@demo/run $(BUILD)
