# Every target prints the commands that it runs; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHONS := 3.14 3.13 3.12 3.11
PYTHONS_2_19 := 3.13 3.12 3.11
VENV := .venv
VENV_2_19 := .cache/venv-2.19
VENV_BENCH := .cache/venv-bench
LINK := .cache/collections/ansible_collections/vise/platform
UV := .cache/uv/bin/uv
MANUAL := docs/.vitepress/dist/index.html
INVENTORY := inventories/development
# The gates of `make test`, in two lanes that run in parallel; each gate is also a separate target. world-tests inject faults
# into services of the whole sandbox, so that all other targets that use the sandbox run after them.
GATES := lint unit gates artifact sanity e2e@world-tests beside world-tests core-2.19 molecule
WORLD_TESTS := tests/e2e/test_dns.py $(wildcard tests/e2e/test_world*.py)
# The scenario that core-2.19 converges as well.
SCENARIO_2_19 := base
# The unit tests of code that uses ansible-core; the rest of module_utils is plain Python.
UNIT_2_19 := $(addprefix tests/unit/plugins/,action callback filter modules module_utils/mailcow)
DEEP_TARGETS = $(shell sed -n '/^deep:/,$$ s/^  \([a-z0-9-]*\): .*/\1/p' molecule/tiers.yml)

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Bytecode next to the sources would be part of the artifact. Without any bytecode, every start compiles all modules again.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/pycache
# Some environments, such as containers, disable bytecode; every start of Ansible then takes four times as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9.-]+):.*## /\1\t/' | expand -t 16

##### The platform in the sandbox

.PHONY: up
up: ## Create the sandbox and run the platform in it
	python3 tools/up.py

.PHONY: down
down: ## Remove the sandbox: hosts, images, network, secrets
	python3 sandbox/sandbox.py down
	rm -f $(INVENTORY)/group_vars/all/vault.yml

.PHONY: drill
drill: world docs ## Rebuild the sandbox's platform from its backups on a fresh host; measure RPO and RTO
	ansible-playbook -i inventories/drill playbooks/drill.yml

.PHONY: sandbox-status
sandbox-status: setup ## List the containers and services of the sandbox
	python sandbox/sandbox.py status

.PHONY: status
status: setup ## Report what runs on the hosts of INVENTORY, backups, proofs, what needs attention (ARGS='-e status_file=status.json')
	ansible-playbook -i $(INVENTORY) playbooks/status.yml $(ARGS)

.PHONY: check
check: setup ## Check everything that can be known before a run on the hosts of INVENTORY: description, secrets, logins, DNS, tokens, storage
	ansible-playbook -i $(INVENTORY) playbooks/check.yml $(ARGS)

.PHONY: converge
converge: docs $(if $(filter inventories/development,$(INVENTORY)),secrets) ## Run site.yml on the hosts of INVENTORY (ARGS='--check --diff', ...)
	@$(if $(filter file,$(origin INVENTORY)),echo 'No INVENTORY is given: this run is for the sandbox ($(INVENTORY)).')
	ansible-playbook -i $(INVENTORY) playbooks/site.yml $(ARGS)

##### Daily work on the hosts of INVENTORY

# One line for a missing argument, before anything runs
needs = $(or $($(1)),$(error $(1) is missing: make $(2) $(1)=$(3)))
SSH_CONFIG = .cache/ssh/config-$(notdir $(patsubst %/,%,$(INVENTORY)))
SSH = ansible-playbook -i $(INVENTORY) playbooks/ssh_config.yml -e ssh_config_file=$(SSH_CONFIG) >/dev/null && ssh -F $(SSH_CONFIG)

.PHONY: ssh
ssh: setup ## Log in to a host (HOST=web-1, or a group for its first host)
	$(SSH) $(call needs,HOST,ssh,web-1) $(ARGS)

.PHONY: logs
logs: setup ## Follow the journal of a host (HOST=web-1 UNIT=nginx; without UNIT all of it)
	$(SSH) -t $(call needs,HOST,logs,web-1) sudo journalctl --lines=100 --follow $(if $(UNIT),--unit=$(UNIT))

.PHONY: psql
psql: setup ## Open psql on the primary as PostgreSQL's administrator (DB=edu)
	$(SSH) -t $(or $(HOST),database) sudo -u postgres psql $(call needs,DB,psql,edu)

.PHONY: redis
redis: setup ## Open redis-cli on a cache host as Redis' administrator (CACHE=cache-1, default: the first one)
	$(SSH) -t $(or $(CACHE),cache) sudo vise-redis cli

.PHONY: release
release: docs ## Publish the build of a site (SITE=docs)
	ansible-playbook -i $(INVENTORY) playbooks/release_site.yml -e release_site=$(call needs,SITE,release,docs) $(ARGS)

.PHONY: rollback
rollback: setup ## Roll a site back to its previous release (SITE=docs)
	ansible-playbook -i $(INVENTORY) playbooks/rollback_site.yml -e rollback_site=$(call needs,SITE,rollback,docs) $(ARGS)

.PHONY: init
init: setup ## Write the repository of your company, or add to it (INTO=../platform)
	ansible-playbook playbooks/init.yml -e init_folder=$(or $(INTO),$(error INTO is missing: make init INTO=../platform)) $(ARGS)

##### Prerequisites

.PHONY: setup
setup: $(VENV)/ready $(LINK) ## Install the locked controller environment (.venv)

$(VENV)/ready: requirements/controller.txt requirements/uv.txt scripts/environment.sh
	scripts/environment.sh $(VENV) requirements/controller.txt $(PYTHONS)
	touch $@

$(VENV_2_19)/ready: requirements/core-2.19.txt requirements/uv.txt scripts/environment.sh
	scripts/environment.sh $(VENV_2_19) requirements/core-2.19.txt $(PYTHONS_2_19)
	touch $@

$(VENV_BENCH)/ready: requirements/bench.txt requirements/uv.txt scripts/environment.sh
	scripts/environment.sh $(VENV_BENCH) requirements/bench.txt $(PYTHONS)
	touch $@

# Ansible finds the checkout as an installed collection, so that playbooks and roles are named alike in both.
$(LINK):
	mkdir -p $(@D)
	ln -sfn $(CURDIR) $@

.PHONY: lock
lock: setup ## Lock the newest versions that requirements/*.in allow
	for name in uv core-2.19 controller world bench; do $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --output-file requirements/$$name.txt requirements/$$name.in; done
	python -m tools.runtime_requirements

.PHONY: docker
docker: setup ## Install and start Docker if it is missing
	python sandbox/sandbox.py docker

.PHONY: image
image: docker ## Build the sandbox's images
	python sandbox/sandbox.py image

.PHONY: world
world: image ## Start the sandbox's world, the services outside of the platform: DNS, ACME, APIs
	python sandbox/sandbox.py world

.PHONY: hosts
hosts: world ## Create the sandbox's platform host and its DNS names
	molecule create --scenario-name default
	python sandbox/sandbox.py point 172.30.0.10 fd30::10 docs mail autoconfig autodiscover mta-sts
	for address in 172.30.0.10 fd30::10; do python sandbox/sandbox.py ptr $$address mail.vln.test; done

.PHONY: secrets
secrets: $(if $(filter inventories/development,$(INVENTORY)),world,setup) ## Generate the missing secrets of INVENTORY
	$(if $(filter inventories/development,$(INVENTORY)),python -m tools.make_secrets,ansible-playbook -i $(INVENTORY) playbooks/make_secrets.yml $(ARGS))

.PHONY: docs
docs: $(MANUAL) ## Build the manual (docs/.vitepress/dist)

.PHONY: docs-tables
docs-tables: setup ## Update the generated parts of README.md, docs, the role READMEs and the editors' schema
	python -m tools.readme_tables
	python -m tools.capabilities
	python -m tools.world_services
	python -m tools.description_schema

docs/node_modules/.package-lock.json: docs/package.json docs/package-lock.json
	scripts/node.sh
	cd docs && npm ci --no-audit --no-fund
	touch $@

# inventories/drill/group_vars is excluded: a link to generated secrets, which may not exist yet.
$(MANUAL): $(VENV)/ready docs/node_modules/.package-lock.json $(filter-out %/group_vars,$(shell git ls-files -- docs 'roles/*/README.md' \
    'roles/*/meta/*' group_vars inventories plugins roles/description roles/preflight/files tools/docs_pages.py tools/description_page.py 2>/dev/null)) | $(LINK)
	python -m tools.docs_pages
	cd docs && npm run docs:build
	touch $@

##### Tests

.PHONY: test
test: setup ## Run the contract: all gates, one scenario per role, the end-to-end tests
	python -m tools.run_gates $(GATES)

.PHONY: test-deep
test-deep: world docs ## Run the long fault scenarios and campaigns; each is also a target deep-<name>
	python -m tools.run_deep

.PHONY: $(addprefix deep-,$(DEEP_TARGETS))
$(addprefix deep-,$(DEEP_TARGETS)): deep-%: world docs
	python -m tools.run_deep $*

.PHONY: test-touched
test-touched: world docs ## Run the tests of the code that changed since BASE, deep tests included (BASE=main)
	python -m tools.touched $(or $(BASE),$(error BASE is missing: make test-touched BASE=main))

.PHONY: lint
lint: ruff mypy yamllint ansible-lint changelog workflows ## Check style and types; each check is also a separate target

.PHONY: ruff mypy yamllint ansible-lint changelog workflows
ruff: setup
	ruff check .
	ruff format --check .

# The plugins as the package that Ansible imports, all other code as files.
mypy: setup
	mypy --package ansible_collections.vise.platform.plugins
	mypy tools tests sandbox
	mypy $(shell git ls-files 'molecule/*.py')

yamllint: setup
	yamllint --strict .

# With a separate home: a copy of the collection that is installed in ~/.ansible would be found first.
ansible-lint: setup
	ANSIBLE_HOME=$(CURDIR)/.cache/ansible-lint ansible-lint

changelog: setup
	antsibull-changelog lint

workflows: setup
	zizmor --offline --quiet --pedantic .github/workflows
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

.PHONY: unit
unit: setup ## Run the unit tests
	pytest tests/unit tests/contract

.PHONY: gates
gates: setup ## Check the rules for every role and plugin
	pytest tests/gates

.PHONY: sanity
sanity: setup ## Run ansible-test sanity on the files of the built collection
	python -m tools.sanity

.PHONY: artifact
artifact: setup ## Build the collection, install it and run its playbooks by name from another directory
	pytest tests/artifact

.PHONY: core-2.19
core-2.19: $(VENV_2_19)/ready setup world ## Test with the oldest supported ansible-core
	$(VENV_2_19)/bin/python -m pytest $(UNIT_2_19) tests/gates
	PATH=$(CURDIR)/$(VENV_2_19)/bin:$$PATH ansible-playbook -i $(INVENTORY) --syntax-check playbooks/*.yml
	PATH=$(CURDIR)/$(VENV_2_19)/bin:$$PATH python -m tools.run_scenarios $(SCENARIO_2_19)

.PHONY: molecule
molecule: world ## Run the scenarios of the contract, two at a time
	python -m tools.run_scenarios

.PHONY: test-role
test-role: world ## Run one role's scenario (ROLE=nginx)
	PYTEST_ADDOPTS="-m 'not deep'" molecule test --scenario-name $(or $(ROLE),$(error ROLE is missing: make test-role ROLE=nginx))

.PHONY: world-tests
world-tests: world ## Test the sandbox's world, and the publication of DNS records to it
	pytest --verbose $(WORLD_TESTS)

.PHONY: e2e
e2e: world docs ## Run the end-to-end tests on a converged platform, from outside
	pytest --verbose -m "not deep" $(filter-out $(WORLD_TESTS),$(wildcard tests/e2e/test_*.py))

.PHONY: campaign
campaign: world ## Inject one kind of fault many times and write a table of the results (ARGS='kills --times 20', corruption, pitr, reboots, runs, drills)
	python -m tools.campaigns $(ARGS)

.PHONY: bench
bench: hosts docs secrets $(VENV_BENCH)/ready ## Compare no-change runs with plain tasks and pyinfra, and backups with the bare tools
	python -m tools.bench
