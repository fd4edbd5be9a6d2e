# Every target prints the commands that it runs; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHONS := 3.14 3.13 3.12 3.11
PYTHONS_2_19 := 3.13 3.12 3.11
VENV := .venv
LINK := .cache/collections/ansible_collections/vise/platform

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9.-]+):.*## /\1\t/' | expand -t 16

.PHONY: setup
setup: $(VENV)/ready $(LINK) ## Install the locked controller environment (.venv)

$(VENV)/ready: requirements/controller.txt requirements/uv.txt scripts/environment.sh
	scripts/environment.sh $(VENV) requirements/controller.txt $(PYTHONS)
	touch $@

.cache/venv-2.19/ready: requirements/core-2.19.txt requirements/uv.txt scripts/environment.sh
	scripts/environment.sh .cache/venv-2.19 requirements/core-2.19.txt $(PYTHONS_2_19)
	touch $@

# Ansible finds the checkout as an installed collection, so that playbooks and roles are named alike in both.
$(LINK):
	mkdir -p $(@D)
	ln -sfn $(CURDIR) $@
