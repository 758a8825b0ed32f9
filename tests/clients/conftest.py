"""What is heavy (npm, Maven, Go, Ruby) runs by `just test-clients` alone."""

from __future__ import annotations

from tests.conftest import EVERYTHING

collect_ignore = [] if EVERYTHING else ["node", "java", "go", "ruby", "python/test_databases.py"]
