"""AWS Secrets Manager for the tests of one module, empty for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.secrets_server import SecretsServer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecretsServer]:
    with SecretsServer(tmp_path_factory.mktemp("aws")).running() as found:
        yield found


@pytest.fixture
def server(running: SecretsServer) -> SecretsServer:
    running.forget()
    return running
