"""The suite is no test file by its name, and its assertions are to be as well told."""

import pytest

pytest.register_assert_rewrite("tests.conformance.promises")
