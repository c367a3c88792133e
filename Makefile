# All of Landfall's development tasks. You need Rust, Python 3.11 or newer, make and a C compiler. Some targets also
# need Node.js. `make` alone lists the targets.

SHELL := bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Every build uses one target triple and --workspace, so that cargo and cargo-lambda share all artifacts. Otherwise they
# would compile the AWS SDKs twice, which takes minutes.
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
export CARGO_BUILD_TARGET := $(HOST)
export CARGO_TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
DEBUG := $(CARGO_TARGET_DIR)/$(HOST)/debug
LOCAL_CLOUD := $(DEBUG)/local-cloud
RESULTS := $(CARGO_TARGET_DIR)/results
# The Python environment's folder. The command sets it up if there is none yet.
VENV = $$($(LOCAL_CLOUD) python)
RUFF = --no-cache conftest.py python tests

say = @printf '\n\033[1m== %s\033[0m\n' "$(1)"
need = command -v $(1) >/dev/null || { echo "$(1) is missing; get it $(2)" >&2; exit 1; }

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: python-tool build ## Show a file land in one account and its job run in the other; KEEP=1, SCENE=role-deleted
	@$(LOCAL_CLOUD) demo $(if $(SCENE),--scene '$(SCENE)') $(if $(filter-out 0,$(KEEP)),--keep)

.PHONY: test
test: tools python-tool node-tool results format lint purity build deny shell schema cargo-tests policies end-to-end python-lint pytest templates semantics summary ## Run every check and test

.PHONY: check
check: tools results format lint purity build schema cargo-tests semantics ## Run the checks and tests that need neither Python nor the local cloud

# The bench measures the functions as they are deployed, and compares them with a floor and with peers. The first build
# takes about 20 minutes on two cores, and the bench itself about as long. `make bench ONLY="counts cost"` takes a
# minute: it measures the functions that `build` makes anyway, because counts don't depend on optimisation.
.PHONY: bench
bench: python-tool build ## Measure what Landfall uses: calls, units, CPU, memory, money; ONLY="some parts" LATENCY=ms
	$(call say,measuring what Landfall uses)
	@$(if $(OPTIMISED),cargo build --locked --release $(RELEASED) $(BESIDE))
	@$(if $(OPTIMISED),cargo build --locked --release --package landfall-cli --bin landfall)
	@cargo bench --locked --workspace --bench figures --profile dev -- $(ONLY) \
	  $(if $(LATENCY),--latency $(LATENCY)) $(if $(OPTIMISED),--functions '$(CARGO_TARGET_DIR)/$(HOST)/release')

OPTIMISED = $(if $(ONLY),$(filter-out counts cost listing,$(ONLY)),yes)
# The same packages as `make package` builds, so that both share what they compile.
RELEASED := $(foreach function,trigger monitor provisioner auditor repairer reconciler,--package landfall-$(function) --bin $(function))
# The programs that the bench compares them with. The command line is built by itself, because it has features of the
# SDK that the functions must not get.
BESIDE := --package landfall-floor --bin hello --bin calls --bin parsing

.PHONY: spark
spark: python-tool build ## Run jobs in real Spark on the local cloud; needs Java, downloads 500 MB once; ONLY=part of a name
	$(call say,running jobs in real Spark on the local cloud)
	@mkdir -p '$(RESULTS)-spark'
	@set -euo pipefail; cargo test --locked --workspace --test spark -- $(ONLY) 2>&1 | tee -i '$(RESULTS)-spark/spark.txt'

.PHONY: package
package: python-tool build ## Build optimised functions for this machine, and lay out what you deploy; ROUTES=file
	$(call say,packaging into target/package)
	@set -euo pipefail; venv=$(VENV); PATH="$$venv/bin:$$PATH" \
	  $(DEBUG)/landfall package target/package --native --routes $(or $(ROUTES),infra/routes.yaml); \
	"$$venv/bin/python" tests/python/sbom.py target/package

# What people install. The release workflow runs the three parts on several machines. zig links against an old glibc, so
# that the command line runs on any Linux of the last ten years. The first build takes an hour on two cores.
.PHONY: release
release: release-program release-packages release-sums ## Build what people install, into target/release-files; TARGET=triple

RELEASE := $(CARGO_TARGET_DIR)/release-files
TOOLS := $(CARGO_TARGET_DIR)/release-tools
TARGET = $(HOST)
GLIBC := 2.17
ARCHITECTURES := arm64 x86_64
LAY_OUT = "$(TOOLS)/bin/python" tests/python/release.py

.PHONY: release-program
release-program: tools $(TOOLS)/.whole
	$(call say,building the command line for $(TARGET))
	@PATH="$(TOOLS)/bin:$$PATH" cargo $(if $(findstring -linux-gnu,$(TARGET)),zigbuild --locked \
	  --target $(TARGET).$(GLIBC),build --locked --target $(TARGET)) --release --package landfall-cli --bin landfall
	@$(LAY_OUT) program '$(RELEASE)' $(TARGET) '$(CARGO_TARGET_DIR)/$(TARGET)/release/landfall'

.PHONY: release-packages
release-packages: build $(TOOLS)/.whole
	$(call say,building what is deployed for $(ARCHITECTURES))
	@set -euo pipefail; for architecture in $(ARCHITECTURES); do PATH="$(TOOLS)/bin:$$PATH" \
	  $(DEBUG)/landfall package '$(RELEASE)'/packages/$$architecture --architecture $$architecture; done
	@$(LAY_OUT) packages '$(RELEASE)' '$(DEBUG)/landfall' $(ARCHITECTURES)

.PHONY: release-sums
release-sums: $(TOOLS)/.whole
	@$(LAY_OUT) sums '$(RELEASE)'
	@cat '$(RELEASE)/SHA256SUMS'

$(TOOLS)/.whole: tests/release/requirements.txt | python-tool
	$(call say,setting up what builds releases)
	@set -euo pipefail; rm -rf '$(TOOLS)'; \
	for python in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3; do \
	  "$$python" -m venv '$(TOOLS)' 2>/dev/null && break; done; \
	"$(TOOLS)/bin/pip" install --quiet --disable-pip-version-check --no-compile --only-binary :all: \
	  --no-deps --require-hashes --requirement $<; touch $@

.PHONY: clean
clean: ## Remove everything that was built, including the Python environment
	cargo clean
	rm -rf target/package __pycache__
	find python tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: requirements
requirements: ## Resolve the Python requirements again, to the newest versions
	$(call say,resolving the Python requirements)
	@set -euo pipefail; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	python3 -m venv "$$work/venv"; "$$work/venv/bin/pip" install --quiet pip-tools; \
	sed -n '/^#/p;/^$$/q' tests/requirements.txt > "$$work/head"; \
	"$$work/venv/bin/pip-compile" --quiet --generate-hashes --strip-extras --no-header \
	  --no-emit-find-links --no-emit-index-url \
	  $(foreach package,$(LEFT_OUT),--unsafe-package $(package)) \
	  --output-file "$$work/requirements.txt" tests/requirements.in; \
	{ cat "$$work/head"; echo; sed '/^# WARNING/,$$d' "$$work/requirements.txt"; } > tests/requirements.txt
	$(call say,resolving the requirements of the scanners, of the Spark runs and of releases)
	@set -euo pipefail; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	python3 -m venv "$$work/venv"; "$$work/venv/bin/pip" install --quiet uv; cd tests/scanners; \
	sed -n '/^#/p;/^$$/q' requirements.txt > "$$work/head"; \
	"$$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --upgrade --override overrides.txt --output-file "$$work/requirements.txt" requirements.in; \
	{ cat "$$work/head"; echo; cat "$$work/requirements.txt"; } > requirements.txt; \
	cd ../spark; sed -n '/^#/p;/^$$/q' requirements.txt > "$$work/head"; \
	"$$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --upgrade --output-file "$$work/requirements.txt" requirements.in; \
	{ cat "$$work/head"; echo; cat "$$work/requirements.txt"; } > requirements.txt; \
	cd ../release; sed -n '/^#/p;/^$$/q' requirements.txt > "$$work/head"; \
	"$$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --upgrade --output-file "$$work/requirements.txt" requirements.in; \
	{ cat "$$work/head"; echo; cat "$$work/requirements.txt"; } > requirements.txt
	$(call say,resolving the requirements of the bench's peer)
	@set -euo pipefail; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	python3 -m venv "$$work/venv"; "$$work/venv/bin/pip" install --quiet uv; cd tests/benches/peer; \
	sed -n '/^#/p;/^$$/q' requirements.txt > "$$work/head"; \
	"$$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --upgrade --output-file "$$work/requirements.txt" requirements.in; \
	{ cat "$$work/head"; echo; cat "$$work/requirements.txt"; } > requirements.txt

# Packages that nothing imports here: dependencies of local cloud services that we don't use, pandas (vega_datasets
# depends on it), and zig (cargo-lambda depends on it).
LEFT_OUT := asyncssh docker duckdb graphql-core numpy pandas psycopg2-binary pymysql ziglang

# The steps of `make test`.

.PHONY: tools
tools:
	@$(call need,cargo,from https://rustup.rs)
	@$(call need,rustc,from https://rustup.rs)
	@$(call need,cc,with 'apt-get install gcc' or 'xcode-select --install')
	@cargo fmt --version >/dev/null 2>&1 || { echo "rustfmt is missing; get it with 'rustup component add rustfmt'" >&2; exit 1; }
	@cargo clippy --version >/dev/null 2>&1 || { echo "clippy is missing; get it with 'rustup component add clippy'" >&2; exit 1; }

.PHONY: python-tool
python-tool:
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3; do \
	  "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && exit 0; \
	done; \
	echo "Python 3.11 or newer, with venv, is missing; get it with 'apt-get install python3 python3-venv' or 'brew install python', or name one: make PYTHON=/path/to/python3" >&2; exit 1

.PHONY: node-tool
node-tool:
	@$(call need,npm,with 'apt-get install nodejs npm' or 'brew install node')
	@node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' 2>/dev/null || { echo "Node.js 20 or newer is missing; get it with 'apt-get install nodejs' or 'brew install node'" >&2; exit 1; }

.PHONY: results
results:
	@rm -rf '$(RESULTS)' && mkdir -p '$(RESULTS)'

.PHONY: build
build: tools
	$(call say,building)
	@cargo build --locked --workspace

.PHONY: format
format:
	$(call say,checking the format: cargo fmt)
	@cargo fmt --all --check

.PHONY: lint
lint:
	$(call say,linting Rust: clippy)
	@cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
	@cargo clippy --locked --workspace --test end_to_end --test policies --test spark --quiet -- -D warnings

.PHONY: shell
shell: python-tool
	$(call say,checking the shell scripts: shellcheck)
	@"$$($(LOCAL_CLOUD) scanners)/bin/shellcheck" install.sh tests/semantics.sh .github/actions/*/*.sh

.PHONY: purity
purity:
	$(call say,checking that the core does no I/O: it depends on no runtime and no AWS crate)
	@set -euo pipefail; tree=$$(cargo tree --locked --package landfall-core --edges normal --prefix none); \
	! grep -E '^(aws|hyper|lambda|mio|reqwest|tokio)' <<< "$$tree"
	$(call say,checking that trigger and monitor need neither IAM nor KMS nor Lambda: they depend on no client of these)
	@set -euo pipefail; tree=$$(cargo tree --locked --package landfall-trigger --package landfall-monitor --edges normal --prefix none); \
	! grep -E '^(aws-sdk-iam|aws-sdk-kms|aws-sdk-lambda|landfall-inspection|landfall-provisioning) ' <<< "$$tree"

# deny.toml has the rules, for deployed crates and those of tests. An exception that nothing needs is an error.
DENY = "$$($(LOCAL_CLOUD) scanners)/bin/cargo-deny" --locked --workspace check \
  -D unmatched-skip -D unused-wrapper -D license-not-encountered -D advisory-not-detected

.PHONY: deny
deny: python-tool
	$(call say,checking the crates' licences and sources and looking for duplicate versions: cargo-deny)
	@set -euo pipefail; $(DENY) licenses bans sources

.PHONY: advisories
advisories: python-tool build ## Look for known vulnerabilities of the crates; fetches RustSec's database with git
	$(call say,looking for known vulnerabilities of the crates: cargo-deny)
	@set -euo pipefail; $(DENY) advisories

.PHONY: schema
schema:
	$(call say,checking that the committed JSON Schemas match the types and that the routes files are valid)
	@set -euo pipefail; $(DEBUG)/landfall schema | diff -u infra/routes.schema.json -
	@set -euo pipefail; for role in starter-role reader-role job-role bucket-notifications bucket-access; do \
	  $(DEBUG)/landfall schema $$role | diff -u infra/schemas/$$role.json -; done
	@$(DEBUG)/landfall check infra/routes.yaml
	@# It warns about an external ID in the file and about a missing one. Both are there for the tests.
	@said=$$($(DEBUG)/landfall check tests/fixtures/routes.yaml 2>&1) || { echo "$$said"; exit 1; }

.PHONY: cargo-tests
cargo-tests:
	$(call say,running unit and property tests)
	@mkdir -p '$(RESULTS)'
	@set -euo pipefail; cargo test --locked --workspace --no-fail-fast 2>&1 | tee -i '$(RESULTS)/unit.txt'

.PHONY: simulate
simulate: python-tool node-tool build ## Run what is too slow for `make test`: wider models, SEEDS=2000 simulations FROM=1, a week of load
	$(call say,checking wider models)
	@cargo test --locked --package landfall-core --lib -- --ignored --nocapture
	$(call say,simulating trigger and monitor)
	@SEEDS=$(or $(SEEDS),2000) FROM=$(or $(FROM),1) \
	  cargo test --locked --workspace --test simulation -- --include-ignored
	$(call say,making every call of the compiled functions fail in every way)
	@EVERY_CASE=1 cargo test --locked --workspace --test end_to_end -- whose_calls_fail

.PHONY: policies
policies: node-tool
	$(call say,testing the policies with an independent IAM engine)
	@mkdir -p '$(RESULTS)'
	@set -euo pipefail; cargo test --locked --workspace --test policies 2>&1 | tee -i '$(RESULTS)/policies.txt'

.PHONY: end-to-end
end-to-end: python-tool node-tool build ## Run only the end-to-end tests; ONLY=part of a name
	$(call say,running the end-to-end tests on the local cloud)
	@mkdir -p '$(RESULTS)'
	@set -euo pipefail; cargo test --locked --workspace --test end_to_end -- $(ONLY) 2>&1 | tee -i '$(RESULTS)/end-to-end.txt'

.PHONY: python-lint
python-lint:
	$(call say,linting Python: ruff)
	@"$(VENV)/bin/ruff" check $(RUFF)
	@"$(VENV)/bin/ruff" format --check $(RUFF)
	$(call say,checking the job library's types (mypy) and that it needs no more than Python 3.7 (vermin))
	@"$(VENV)/bin/mypy" --cache-dir /dev/null python/landfall
	@"$(VENV)/bin/vermin" --target=3.7- --violations --no-tips python/landfall python/examples

.PHONY: pytest
pytest:
	$(call say,running the Python tests: pytest)
	@mkdir -p '$(RESULTS)'
	@# Most tests wait for an emulator of their own, so the job library's run next to the others.
	@set -euo pipefail; python="$(VENV)/bin/python"; \
	"$$python" -m pytest python/tests > '$(RESULTS)/pytest-library.txt' 2>&1 & library=$$!; \
	failed=0; "$$python" -m pytest tests/emulator tests/python 2>&1 | tee -i '$(RESULTS)/pytest.txt' || failed=1; \
	wait "$$library" || failed=1; cat '$(RESULTS)/pytest-library.txt'; exit "$$failed"

.PHONY: templates
templates: python-tool node-tool build ## Check the templates with every scanner
	$(call say,checking the templates: cfn-lint)
	@"$(VENV)/bin/cfn-lint" $(TEMPLATES)
	@# Packaging resolves the aliases that these checks report.
	@"$(VENV)/bin/cfn-lint" --ignore-checks W1100 W1101 -- tests/fixtures/*-extras.yaml
	@echo "cfn-lint: nothing found in $(words $(TEMPLATES)) templates and the tests' own"
	$(call say,checking the templates: sam validate --lint)
	@# It takes one template at a time, and one core.
	@set -euo pipefail; scanners=$$($(LOCAL_CLOUD) scanners); home=$$(mktemp -d); trap 'rm -rf "$$home"' EXIT; \
	printf '%s\n' $(TEMPLATES) | \
	  env -i PATH="$$PATH" HOME="$$home" LANG=C.UTF-8 SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 \
	    xargs -n 1 -P 2 "$$scanners/bin/sam" validate --lint --template; \
	echo "sam validate: $(words $(TEMPLATES)) templates are valid"
	$(call say,checking the templates: checkov)
	@set -euo pipefail; scanners=$$($(LOCAL_CLOUD) scanners); \
	"$(VENV)/bin/python" tests/python/scan.py checkov "$$scanners/bin/checkov" $(TEMPLATES)
	$(call say,checking the Terraform module: checkov)
	@# Who hears of a stack's events (CKV_AWS_124) is for the account to say.
	@set -euo pipefail; scanners=$$($(LOCAL_CLOUD) scanners); home=$$(mktemp -d); trap 'rm -rf "$$home"' EXIT; \
	HOME="$$home" "$$scanners/bin/checkov" --directory infra/terraform --framework terraform --skip-download \
	  --skip-check CKV_AWS_124 --compact --quiet
	$(call say,checking the templates: cfn-guard)
	@set -euo pipefail; node=$$($(LOCAL_CLOUD) node); \
	"$(VENV)/bin/python" tests/python/scan.py cfn-guard "$$node" $(TEMPLATES)
	$(call say,checking the policies of the templates and the routes: parliament)
	@set -euo pipefail; scanners=$$($(LOCAL_CLOUD) scanners); \
	"$(VENV)/bin/python" tests/python/scan.py parliament "$$scanners/bin/parliament" $(TEMPLATES)

TEMPLATES := $(filter-out infra/routes.yaml,$(wildcard infra/*.yaml))

.PHONY: semantics
semantics:
	$(call say,checking that every test that SEMANTICS.md names exists)
	@tests/semantics.sh

.PHONY: summary
summary:
	$(call say,all steps passed)
	@awk '/^test result: / { passed += $$4; failed += $$6 } \
	  /^=+ .* in [0-9.]+s/ { for (i = 2; i <= NF; i++) { if ($$i ~ /^passed/) passed += $$(i-1); if ($$i ~ /^failed/) failed += $$(i-1) } } \
	  END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 }' '$(RESULTS)'/*.txt
