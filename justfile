# The whole contributor interface. `just` alone is test and lint.
python := ".venv/bin/python"
parallel := "-n 3 --dist loadfile --no-loadscope-reorder"
light := "not docker and not browser and not keycloak"

default: lint test

# set up and run the tests; arguments go to pytest
test *arguments:
    scripts/test {{arguments}}

# the same with every table whole: hours
test-all *arguments:
    MNGDB_TESTS=all scripts/test {{arguments}}

# no servers, Docker or browser: under three minutes
test-fast *arguments:
    scripts/test {{parallel}} -m 'not live and not slow and {{light}}' {{arguments}}

# the tests of PostgreSQL alone, without Docker and browser
test-postgres *arguments: (_test-engine "postgres" arguments)

# the tests of Redis and Valkey alone, likewise
test-redis *arguments: (_test-engine "redis" arguments)

# the tests of MongoDB alone, likewise
test-mongodb *arguments: (_test-engine "mongodb" arguments)

# client software against real stacks: fetches it, and writes docs/clients.md
test-clients *arguments="tests/clients":
    scripts/setup-venv
    scripts/setup-test-machine --clients
    MNGDB_TESTS=all scripts/in-memory {{python}} -m pytest -n 2 --dist loadfile {{arguments}}
    {{python}} scripts/generate-docs

_test-engine engine arguments:
    scripts/test {{parallel}} -m '{{engine}} and {{light}}' {{arguments}}

# style, types, direction of imports, names of engines and targets in their rooms, generated docs
lint:
    .venv/bin/ruff format --check src tests benchmarks scripts
    .venv/bin/ruff check src tests benchmarks scripts
    .venv/bin/mypy
    .venv/bin/lint-imports --no-logo
    {{python}} scripts/seams
    {{python}} scripts/generate-docs --check
    {{python}} scripts/korean --brief

# write style, generated docs and the numbers of scripts/seams.toml that fell anew
fix:
    .venv/bin/ruff check --fix src tests benchmarks scripts
    .venv/bin/ruff format src tests benchmarks scripts
    {{python}} scripts/seams --lower
    {{python}} scripts/generate-docs

# the pages of docs/ that are made from the code
docs:
    {{python}} scripts/generate-docs

# which metrics of public dashboards the agent serves
dashboards:
    scripts/in-memory {{python}} -m benchmarks.dashboards

# pictures of what people see, at 60 and 120 columns, into a folder
screenshots folder=".cache/screenshots":
    scripts/in-memory {{python}} scripts/screenshots {{folder}}

# side by side with what a user would do instead; writes benchmarks/README.md
bench:
    scripts/in-memory {{python}} -m benchmarks
    {{python}} -m benchmarks backup
