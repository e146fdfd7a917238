# gabberd: `make help` lists what can be made.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# What a target works on; `make race PKG=./sm/...` tries one room.
PKG ?= ./...
# plays: a server other than ours: ejabberd, prosody, or HOST:PORT
SERVER ?=
# plays: only those whose file name matches
PLAY ?=
# bench: flags of bench; torture: for how long, which faults
ARGS ?=
FOR ?= 1m
FAULTS ?=
SEED ?= 1
# gobench: which benchmarks, and for how long each
BENCH ?= .
BENCHTIME ?= 1s
# interop: which clients
CLIENTS ?= psi gajim dino profanity
# docs: the program that writes docs/ from the declarations
DOCS ?= go run ./server/gendocs

# install: where to; packagers set DESTDIR
DESTDIR ?=
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d

.PHONY: help run build test race plays interop torture bench bench-smoke gobench docs check shape install uninstall

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## start a server on localhost with its state in ./data
	go run ./cmd/gabberd

build: ## build the server and the operator's tool into ./bin
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/gabberd ./cmd/gabberdctl

test: ## everything that must pass; installs what is missing when root
	@test/packages test
	@test/databases test/all

race: ## the Go tests alone (PKG=./sm/... for one room)
	@test/packages test
	@test/databases go test -race -shuffle=on -timeout 10m $(PKG)

plays: ## the plays of e2e/plays (SERVER=ejabberd|prosody|two-nodes|HOST:PORT, PLAY=regexp)
	@SERVER='$(SERVER)' PLAY='$(PLAY)' test/plays

interop: ## real clients in real windows (CLIENTS="psi gajim dino profanity"); pictures in test/shots
	@test/packages interop
	@test/interop/run $(CLIENTS)

torture: ## three nodes and Redis, killed, frozen and flushed under load (FOR=10m FAULTS=kill,freeze SEED=7)
	@test/packages test
	@test/databases go run ./e2e/torture --for $(FOR) --seed $(SEED) $(if $(FAULTS),--faults $(FAULTS))

bench: ## gabberd beside ejabberd, Prosody and a bare relay (ARGS=flags of bench/README.md)
	go run ./bench $(ARGS)

bench-smoke: ## the same, small: fails on lost, doubled or reordered stanzas
	go run ./bench --smoke

gobench: ## Go's benchmarks (PKG, BENCH=regexp, BENCHTIME)
	@test/databases --durable go test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime '$(BENCHTIME)' $(PKG)

docs: ## write the generated part of docs/
	$(DOCS)

check: ## gofmt, go vet, staticcheck
	@test/check

shape: ## the floor plan: imports, sizes, comments
	go test -count=1 .

install: build ## install program, unit and configuration (DESTDIR, PREFIX); never overwrites ejabberd.yml
	install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(UNITDIR)' '$(DESTDIR)$(SYSUSERSDIR)' '$(DESTDIR)$(SYSCONFDIR)/gabberd'
	install -m 755 bin/gabberd bin/gabberdctl '$(DESTDIR)$(BINDIR)/'
	ln -sf gabberdctl '$(DESTDIR)$(BINDIR)/ejabberdctl'
	sed 's|@BINDIR@|$(BINDIR)|g; s|@SYSCONFDIR@|$(SYSCONFDIR)|g' dist/gabberd.service > '$(DESTDIR)$(UNITDIR)/gabberd.service'
	chmod 644 '$(DESTDIR)$(UNITDIR)/gabberd.service'
	install -m 644 dist/gabberd.sysusers '$(DESTDIR)$(SYSUSERSDIR)/gabberd.conf'
	test -e '$(DESTDIR)$(SYSCONFDIR)/gabberd/ejabberd.yml' || install -m 640 ejabberd.yml '$(DESTDIR)$(SYSCONFDIR)/gabberd/ejabberd.yml'
	@if [ -z '$(DESTDIR)' ] && command -v systemd-sysusers >/dev/null; then \
		systemd-sysusers '$(SYSUSERSDIR)/gabberd.conf' && chgrp gabberd '$(SYSCONFDIR)/gabberd/ejabberd.yml'; \
	else echo 'Make the user gabberd (dist/gabberd.sysusers), who must be able to read the configuration.'; fi
	@echo 'Edit $(SYSCONFDIR)/gabberd/ejabberd.yml, then: systemctl daemon-reload && systemctl enable --now gabberd'

uninstall: ## remove what install put there, but neither configuration nor data
	rm -f '$(DESTDIR)$(BINDIR)/gabberd' '$(DESTDIR)$(BINDIR)/gabberdctl' '$(DESTDIR)$(BINDIR)/ejabberdctl' \
		'$(DESTDIR)$(UNITDIR)/gabberd.service' '$(DESTDIR)$(SYSUSERSDIR)/gabberd.conf'
