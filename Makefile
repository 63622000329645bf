# make demo                          depth, egomotion and a cloud from a rendered scene, in demo_out/
# make demo BAG=path [IMAGE=topic] [CAMERA_INFO=topic] [RATE=15] [MODEL=name]   the same on a bag
# make test                          lint, types and every test; node tests on both distros' wheels
# make test DISTRO=kilted            the node tests on Kilted alone
# DISTRO=jazzy|kilted chooses the ROS 2 wheels; PYTHON=python3.12 the Python of a new environment.

PYTHON ?= python3
DISTRO ?= jazzy
OUT ?= demo_out

VENV_jazzy := .venv
VENV_kilted := .venv-kilted
VENV = $(or $(VENV_$(DISTRO)),$(error DISTRO=$(DISTRO) is not known: jazzy or kilted))

ENVIRONMENT = $(PYTHON) tools/environment.py
# One computation thread a process: cores are shared by nodes, players and tests.
PYTEST = OMP_NUM_THREADS=1 $(1)/bin/python -m pytest --durations=15 --durations-min=10
# What starts no nodes is divided over the cores; nodes want them for themselves.
WORKERS ?= auto

DEMO_ARGUMENTS = --out $(OUT) \
  $(if $(BAG),--bag '$(BAG)') $(if $(IMAGE),--image '$(IMAGE)') \
  $(if $(CAMERA_INFO),--camera-info '$(CAMERA_INFO)') \
  $(if $(RATE),--rate $(RATE)) $(if $(MODEL),--model '$(MODEL)')

.PHONY: help demo test test-jazzy test-kilted lint environment clean

help:
	@sed -n '/^#/!q; s/^# //p' Makefile

demo:
	@$(ENVIRONMENT) $(VENV) --distro $(DISTRO) runtime
	@$(VENV)/bin/python -m depth_ros demo $(DEMO_ARGUMENTS)

# The short suite on the other distro first: what fails there alone is seen soon.
ifeq ($(origin DISTRO),file)
test: lint test-kilted test-jazzy
else
test: $(if $(filter jazzy,$(DISTRO)),lint) test-$(DISTRO)
endif

environment:
	@$(ENVIRONMENT) .venv --distro jazzy runtime openvino training engines test interfaces dev
	@.venv/bin/python tools/build_tf2_msgs.py

lint: environment
	.venv/bin/ruff check .
	.venv/bin/mypy

test-jazzy: environment
	$(call PYTEST,.venv) -m 'not ros' -n $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder test
	$(call PYTEST,.venv) -m ros test

test-kilted:
	@$(ENVIRONMENT) .venv-kilted --distro kilted runtime test interfaces
	@.venv-kilted/bin/python tools/build_tf2_msgs.py
	$(call PYTEST,.venv-kilted) -m ros test

clean:
	rm -rf build install log demo_out .pytest_cache .mypy_cache .ruff_cache
