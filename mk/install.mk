# Installation and documents.
PREFIX  ?= /usr/local
DESTDIR ?=
MAN_SRC  = $(wildcard docs/man/*.[1-8])

.PHONY: install uninstall docs man
install: $(BUILD)/blobferry ## PREFIX (/usr/local) and DESTDIR are honoured
	install -D -m 0755 $(BUILD)/blobferry $(DESTDIR)$(PREFIX)/bin/blobferry
	@set -e; for page in $(MAN_SRC); do \
	    install -D -v -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/blobferry
	@for page in $(MAN_SRC); do rm -fv $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done

man: ## check the man pages and render them to build/docs
	@mkdir -p build/docs
	@set -e; for page in $(MAN_SRC); do echo "  MAN     $$page"; \
	    mandoc -T lint -W warning $$page; mandoc -T html $$page > build/docs/$${page##*/}.html; done
docs: man
