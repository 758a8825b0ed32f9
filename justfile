# The whole contributor interface. `just` alone is test and lint.
python := ".venv/bin/python"

default: lint test

# set up and run the tests; arguments go to pytest
test *arguments:
    scripts/test {{arguments}}

# the same with every table whole: hours
test-all *arguments:
    MNGDB_TESTS=all scripts/test {{arguments}}

# style, types, direction of imports, generated docs
lint:
    .venv/bin/ruff format --check src tests benchmarks scripts
    .venv/bin/ruff check src tests benchmarks scripts
    .venv/bin/mypy
    .venv/bin/lint-imports --no-logo
    {{python}} scripts/generate-docs --check

# write style and generated docs anew
fix:
    .venv/bin/ruff check --fix src tests benchmarks scripts
    .venv/bin/ruff format src tests benchmarks scripts
    {{python}} scripts/generate-docs

# docs/file.md and docs/commands.md from the code
docs:
    {{python}} scripts/generate-docs

# side by side with what a user would do instead; writes benchmarks/README.md
bench:
    scripts/in-memory {{python}} -m benchmarks
