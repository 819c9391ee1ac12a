# Everything is one of these; "make help" lists them.
SHELL := /bin/bash

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X cardea/node.version=$(VERSION)
LINT     := bin/golangci-lint-v2.15.0
HELM     := bin/helm-v3.22.0
FUZZTIME ?= 60s
BENCH    ?= .
SUBSCRIBERS ?= 10 50 100
DURATION ?= 20s
ROUNDS   ?= 1
ARGS     ?=

# What "make run" adds when there is no cardea.yaml: the room that Janus's demos expect.
DEMO := $(if $(wildcard cardea.yaml),,--videoroom-rooms '[{room: 1234, description: Demo Room, publishers: 6, notify_joining: true, audiolevel_event: true, audio_active_packets: 15, audio_level_average: 60}]')

.PHONY: build run test check e2e race system soak bench microbench ocean meshcost kafka fuzz lint generate conformance dist deploycheck help clean

build: ## build the program, one static binary: bin/cardea (what plain "make" does)
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/cardea ./node/cardea

run: build ## build and run a node here, with a page to try it; ARGS are options of "cardea run"
	@exec ./bin/cardea run --data-dir .data $(DEMO) $(ARGS)

test: check deploycheck race system e2e ## everything that must pass: vet, tests with the race detector, browsers. Installs what it needs

check: ## go vet
	go vet ./...

race: ## unit tests with the race detector
	@e2e/setup.sh gcc=gcc gcc=libc6-dev redis-server=redis-server dig=bind9-dnsutils
	CGO_ENABLED=1 go test -race $$(go list ./... | grep -v -e '^cardea/e2e' -e '^cardea/deploy')

system: ## whole nodes from outside, with the race detector; one package at a time, since they watch the clock
	@e2e/setup.sh gcc=gcc gcc=libc6-dev ip=iproute2
	CGO_ENABLED=1 go test -race -count 1 -p 1 ./e2e/...

e2e: build ## tests with real browsers and Janus's own client library
	@e2e/setup.sh node=nodejs npm=npm chromium=chromium openssl=openssl ip=iproute2
	@e2e/setup.sh npm
	npm test --silent --prefix e2e

soak: ## rooms through 5,000 simulated disasters; a mesh restarted node by node; clients come and go for CHURN (10m), and the node must be afterwards what it was before
	CHAOS=5000 go test -count 1 -timeout 1h -run '^TestChaos$$' ./mesh/room
	MESH_SOAK=1 go test -count 1 -timeout 1h -v -run '^TestMesh$$' ./e2e/mesh
	CHURN=$(or $(CHURN),10m) go test -count 1 -timeout 24h -v -run '^TestChurn$$' ./e2e/churn

bench: build ## compare a node with Debian's Janus under load; SUBSCRIBERS="10 50 100", DURATION=20s, ROUNDS=1
	@e2e/setup.sh janus=janus || echo "going on without Janus" >&2
	@go run ./e2e/bench --bin $(CURDIR)/bin/cardea --subscribers '$(SUBSCRIBERS)' --duration $(DURATION) --rounds $(ROUNDS)

microbench: ## Go benchmarks of the packet path; BENCH selects some
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

ocean: ## relay links over a lossy ocean and through a bottleneck beside TCP, in simulated time: tables
	@cd relay/shield && OCEAN=1 go test -count=1 -run 'TestOcean|TestBottleneck'
	@cd relay/link && OCEAN=1 go test -count=1 -run 'TestOcean'

meshcost: ## what gossip and control cost each node: measured for NODES ("3 10 50"), reckoned to 1,000 nodes and 1,000,000 rooms
	MESHCOST='$(or $(NODES),3 10 50)' go test -count 1 -timeout 1h -v -run '^TestCost$$' ./e2e/mesh
	@go run ./e2e/meshcost $(ARGS)

fuzz: ## each fuzz target for FUZZTIME (60s)
	@set -eu; \
	grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file func; do \
		target=$${func#func }; package=$$(dirname "$$file"); \
		echo "== $$package $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzzminimizetime 1x -fuzztime $(FUZZTIME) "$$package" </dev/null; \
	done

kafka: ## events to a real Kafka broker that is killed and started again; needs java and mvn, which fetches the broker
	@e2e/setup.sh java=default-jre-headless mvn=maven
	mvn -q -B -f signaling/events/kafka/testdata/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/bin/kafka
	KAFKA_JARS=$(CURDIR)/bin/kafka go test -count 1 -v -run '^TestBroker$$' ./signaling/events/kafka

lint: $(LINT) ## golangci-lint (the first time builds it, which takes minutes)
	$(LINT) run ./...

$(LINT):
	@echo "building golangci-lint v2.15.0 into bin/"
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv bin/golangci-lint $(LINT)

deploycheck: build $(HELM) ## what is in deploy/: rules, dashboards, chart, unit, compose file (the first time builds helm, a minute or two)
	@e2e/setup.sh promtool=prometheus yamllint=yamllint shellcheck=shellcheck systemd-analyze=systemd
	go test -count 1 ./deploy

$(HELM):
	@echo "building helm v3.22.0 into bin/"
	GOBIN=$(CURDIR)/bin go install helm.sh/helm/v3/cmd/helm@v3.22.0
	mv bin/helm $(HELM)

dist: ## archives to install from, with checksums, for amd64 and arm64: dist/
	deploy/dist.sh '$(VERSION)'

generate: build ## write what is generated: cardea.example.yaml
	./bin/cardea check-config --sample > cardea.example.yaml.new
	mv cardea.example.yaml.new cardea.example.yaml

conformance: build ## Janus API conformance runner in CONFORM=DIR against nodes of this tree; ARGS go to the runner
	@[ -n "$(CONFORM)" ] || { echo "make conformance CONFORM=DIR"; exit 2; }
	e2e/conformance/run.sh '$(CONFORM)' $(ARGS)

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

clean: ## remove what was built or installed into the tree
	rm -rf bin dist .data e2e/node_modules
