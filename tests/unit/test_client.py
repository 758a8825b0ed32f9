"""What an app imports: it is small, follows a rotation, and signs and verifies tokens."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from mngdb.client import AsyncConnection, Connection, Settings, SettingsError
from mngdb.secret import generate

KEYS = [generate().reveal() for _ in range(3)]


def published(path: Path, **settings: str) -> dict[str, str]:
    """Replace an app's document as mngdb does, and return the app's environment."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(settings))
    new.replace(path)
    return {"MNGDB_SETTINGS": str(path), "PORT": "8000"}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


def test_its_import_brings_nothing_large() -> None:
    code = (
        "import resource, sys\n"
        "size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = set(sys.modules)\n"
        "import mngdb.client\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size)\n"
        "print(*set(sys.modules) - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kib, modules = done.stdout.splitlines()
    assert not {"pydantic", "click", "msgspec", "boto3", "jwt", "logging"} & set(modules.split())
    # how long it takes: benchmarks/client.py
    assert len(modules.split()) < 60  # 41
    assert int(kib) < 5 * 1024


def test_without_a_document_the_environment_answers() -> None:
    settings = Settings({"MONGO_URI": "mongodb://x"})
    assert settings["MONGO_URI"] == "mongodb://x"
    assert settings.get("REDIS_URL") is None
    assert not settings.refresh()


def test_a_new_document_is_seen_at_the_next_question(document: Path) -> None:
    settings = Settings(published(document, REDIS_PASSWORD="one"))
    assert (settings["REDIS_PASSWORD"], settings["PORT"]) == ("one", "8000")
    assert dict(settings)["REDIS_PASSWORD"] == "one"
    published(document, REDIS_PASSWORD="two", REDIS_USER="shop")
    assert (settings["REDIS_PASSWORD"], settings["REDIS_USER"]) == ("two", "shop")
    published(document, REDIS_PASSWORD="three")
    assert settings.refresh()
    assert "REDIS_USER" not in settings
    assert "three" not in repr(settings)


def test_a_document_that_is_away_or_damaged_stops_the_start_and_nobody_who_runs(
    document: Path, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {"MNGDB_SETTINGS": str(document)}
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings(environ)
    document.write_text('{"REDIS_PASSWORD": "half')
    with pytest.raises(SettingsError, match="JSON object") as caught:
        Settings(environ)
    assert "half" not in str(caught.value)
    settings = Settings(published(document, REDIS_PASSWORD="one"))
    with caplog.at_level(logging.WARNING, "mngdb.client"):
        document.write_text("{")
        assert settings["REDIS_PASSWORD"] == "one"
        document.unlink()
        assert settings["REDIS_PASSWORD"] == "one"
    assert "those of before" in caplog.text
    published(document, REDIS_PASSWORD="two")
    assert settings["REDIS_PASSWORD"] == "two"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"USE_AWS_SECRETS": "perhaps"}, "true or false"),
        ({"USE_AWS_SECRETS": "true"}, "AWS_SECRET_NAME is not set"),
        (
            {"USE_AWS_SECRETS": "1", "AWS_SECRET_NAME": "a", "MNGDB_SETTINGS_AGE": "x"},
            "number of seconds",
        ),
    ],
)
def test_variables_that_make_no_sense_are_told(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Settings(environ)


def test_many_threads_read_while_it_changes(document: Path) -> None:
    settings = Settings(published(document, A="0", B="0"))
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = settings.snapshot()
            if found["A"] != found["B"]:
                wrong.append(found)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 200):
        published(document, A=str(number), B=str(number))
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert settings["A"] == "199"


# --- tokens


def test_tokens_of_the_current_and_the_previous_key_are_verified(document: Path) -> None:
    settings = Settings(published(document, JWT_CURRENT=KEYS[0]))
    old = settings.sign({"sub": "kim"})
    assert settings.verify(old)["sub"] == "kim"
    published(document, JWT_CURRENT=KEYS[1], JWT_PREVIOUS=KEYS[0])
    assert settings.verify(old)["sub"] == "kim"
    new = settings.sign({"sub": "lee"}, lifetime=60)
    claims = settings.verify(new)
    assert claims["exp"] - claims["iat"] == 60
    published(document, JWT_CURRENT=KEYS[2], JWT_PREVIOUS=KEYS[1])
    with pytest.raises(jwt.InvalidSignatureError):
        settings.verify(old)
    assert settings.verify(new)["sub"] == "lee"


def test_a_key_that_was_withdrawn_is_not_taken_from_the_environment(document: Path) -> None:
    started_with = {"JWT_CURRENT": KEYS[1], "JWT_PREVIOUS": KEYS[0], "LEVEL": "info"}
    settings = Settings(started_with | published(document, JWT_CURRENT=KEYS[2]))
    for key in KEYS[:2]:
        with pytest.raises(jwt.InvalidSignatureError):
            settings.verify(jwt.encode({"exp": int(time.time()) + 60}, key, "HS256"))
    assert "JWT_PREVIOUS" not in settings
    assert (settings["JWT_CURRENT"], settings["LEVEL"]) == (KEYS[2], "info")
    published(document, OTHER="1")
    assert settings["JWT_CURRENT"] == KEYS[1]


def test_options_of_pyjwt_take_back_no_demand(document: Path) -> None:
    settings = Settings(published(document, JWT_CURRENT=KEYS[0]))
    endless = jwt.encode({"sub": "kim", "aud": "a"}, KEYS[0], "HS256")
    for options in ({"verify_aud": False}, {"require": ["sub"], "verify_aud": False}):
        with pytest.raises(jwt.MissingRequiredClaimError, match="exp"):
            settings.verify(endless, options=options)


def test_what_is_no_token_of_ours_is_refused(document: Path) -> None:
    settings = Settings(published(document, JWT_CURRENT=KEYS[0]))
    now = int(time.time())
    bad = {
        "expired": settings.sign({"sub": "kim", "exp": now - 60}),
        "for ever": jwt.encode({"sub": "kim"}, KEYS[0], "HS256"),
        "unsigned": jwt.encode({"sub": "kim", "exp": now + 60}, "", "none"),
        "another algorithm": jwt.encode({"sub": "kim", "exp": now + 60}, KEYS[0] * 2, "HS512"),
        "another key": jwt.encode({"sub": "kim", "exp": now + 60}, KEYS[1], "HS256"),
        "nonsense": "x.y.z",
    }
    for token in bad.values():
        with pytest.raises(jwt.InvalidTokenError):
            settings.verify(token)
    with pytest.raises(SettingsError, match="JWT_CURRENT"):
        Settings({}).sign({})
    with pytest.raises(SettingsError, match="JWT_CURRENT"):
        Settings({}).verify(settings.sign({}))


def test_a_fork_goes_on_reading(document: Path) -> None:
    settings = Settings(published(document, A="1"))
    with settings._guard():  # a thread that is not in the child holds it
        child = os.fork()
        if child == 0:
            published(document, A="2")
            os._exit(settings["A"] != "2")
    assert os.waitpid(child, 0)[1] == 0
    assert settings["A"] == "2"


# --- connections


class Client:
    """A driver's, which knows the passwords that a server takes."""

    good: set[str]

    def __init__(self, value: str) -> None:
        self.value = value
        self.closed = False

    def ping(self) -> str:
        if self.value not in self.good:
            raise PermissionError(self.value)
        return self.value

    def close(self) -> None:
        self.closed = True


def connected(document: Path) -> tuple[Connection[Client], list[Client]]:
    opened: list[Client] = []

    def opening(value: str) -> Client:
        opened.append(Client(value))
        return opened[-1]

    settings = Settings(published(document, URL="one"))
    refused = lambda error: isinstance(error, PermissionError)  # noqa: E731
    return Connection(settings, "URL", opening, refused), opened


def test_a_client_is_opened_anew_after_a_rotation_and_the_old_one_closed(document: Path) -> None:
    connection, opened = connected(document)
    Client.good = {"one", "two"}
    assert [connection.run(Client.ping) for _ in range(3)] == ["one"] * 3
    published(document, URL="two")
    assert connection.run(Client.ping) == "two"
    assert [one.closed for one in opened] == [True, False]
    connection.close()
    assert [one.closed for one in opened] == [True, True]


def test_a_client_in_use_is_closed_when_the_work_is_done(document: Path) -> None:
    connection, opened = connected(document)
    Client.good = {"one", "two"}

    def work(client: Client) -> str:
        published(document, URL="two")
        assert connection.run(Client.ping) == "two"
        assert not client.closed
        return client.ping()

    assert connection.run(work) == "one"
    assert [one.closed for one in opened] == [True, False]


def test_a_refused_login_reads_the_settings_anew_once(
    document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, opened = connected(document)
    Client.good = {"one"}
    connection.run(Client.ping)
    Client.good = {"two"}
    with pytest.raises(PermissionError):
        connection.run(Client.ping)
    # a source that is asked rarely, as AWS is
    monkeypatch.setattr(connection._settings._source, "due", lambda: False)
    published(document, URL="two")
    assert connection.run(Client.ping) == "two"
    assert len(opened) == 2


def test_a_login_that_was_refused_while_another_thread_read_the_settings_is_tried_again(
    document: Path,
) -> None:
    connection, opened = connected(document)

    def work(client: Client) -> str:
        if len(opened) == 1:
            published(document, URL="two")
            Client.good = {"two"}
            assert connection._settings["URL"] == "two"  # the other thread
        return client.ping()

    assert connection.run(work) == "two"


def test_a_thread_that_waited_for_the_new_client_does_not_bring_the_old_one_back(
    document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, opened = connected(document)
    Client.good = {"one", "two"}
    connection.run(Client.ping)
    waiting = Waiting(connection._guard(), document, connection)
    monkeypatch.setattr(connection, "_guard", lambda: waiting)
    assert connection.run(Client.ping) == "two"
    assert [one.value for one in opened] == ["one", "two"]


class Waiting:
    """The lock of a connection: who comes first waits until another thread has opened the client
    of a new setting."""

    def __init__(self, lock: threading.Lock, document: Path, connection: Any) -> None:
        self.lock, self.document, self.connection = lock, document, connection
        self.first = True

    def __enter__(self) -> None:
        if self.first:
            self.first = False
            published(self.document, URL="two")
            other = threading.Thread(target=self.connection.run, args=(Client.ping,))
            other.start()
            other.join()
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_the_child_of_a_fork_opens_its_own_client(document: Path) -> None:
    connection, opened = connected(document)
    Client.good = {"one"}
    connection.run(Client.ping)
    with connection._guard():  # a thread that is not in the child holds it
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            connection.run(Client.ping)
            os._exit(not (len(opened) == 2 and not opened[0].closed))
    assert os.waitpid(child, 0)[1] == 0


def test_a_client_that_nobody_knows_how_to_end_is_refused_at_the_start(document: Path) -> None:
    class Engine:
        def __init__(self, value: str) -> None:
            self.disposed = False

        def dispose(self) -> None:
            self.disposed = True

    settings = Settings(published(document, URL="one"))
    with pytest.raises(TypeError, match=r"closing=Engine\.dispose"):
        Connection(settings, "URL", Engine).run(str)
    connection = Connection(settings, "URL", Engine, closing=Engine.dispose)
    first = connection.run(lambda engine: engine)
    published(document, URL="two")
    assert connection.run(lambda engine: engine) is not first
    assert first.disposed


class AsyncClient(Client):
    """One of asyncio."""

    async def aping(self) -> str:
        await asyncio.sleep(0.01)
        if self.closed:
            raise RuntimeError("closed in use")
        return self.ping()

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed = True


def test_tasks_follow_a_rotation(document: Path) -> None:
    opened: list[AsyncClient] = []

    async def opening(value: str) -> AsyncClient:
        await asyncio.sleep(0.01)
        opened.append(AsyncClient(value))
        return opened[-1]

    settings = Settings(published(document, URL="one"))
    refused = lambda error: isinstance(error, PermissionError)  # noqa: E731
    connection = AsyncConnection(settings, "URL", opening, refused)

    async def rotated() -> None:
        AsyncClient.good = {"one", "two"}
        assert await connection.run(AsyncClient.aping) == "one"
        early = [asyncio.create_task(connection.run(AsyncClient.aping)) for _ in range(3)]
        await asyncio.sleep(0)
        published(document, URL="two")
        late = [asyncio.create_task(connection.run(AsyncClient.aping)) for _ in range(3)]
        assert await asyncio.gather(*early, *late) == ["one"] * 3 + ["two"] * 3
        assert [one.closed for one in opened] == [True, False]

        async def work(client: AsyncClient) -> str:
            if client.value == "two":
                published(document, URL="three")
                AsyncClient.good = {"three"}
                assert settings["URL"] == "three"  # another task
            return await client.aping()

        assert await connection.run(work) == "three"
        await connection.close()
        assert [one.closed for one in opened] == [True] * 3

    asyncio.run(rotated())
    AsyncClient.good = {"three"}
    assert asyncio.run(connection.run(AsyncClient.aping)) == "three"  # in another loop
    plain = Connection(settings, "URL", AsyncClient)
    with pytest.raises(TypeError, match="AsyncConnection"):
        plain.run(AsyncClient.aping)  # type: ignore[unused-coroutine]


def test_a_token_is_verified_while_another_thread_reads_the_new_key(
    document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(published(document, JWT_CURRENT=KEYS[0]))
    settings.sign({})
    monkeypatch.setattr(settings._source, "due", lambda: False)  # as AWS, which is asked rarely
    published(document, JWT_CURRENT=KEYS[1])
    new = Settings({"MNGDB_SETTINGS": str(document)}).sign({"sub": "kim"})
    tokens = settings._signer()
    tried = tokens._tried

    def slow(*words: Any) -> Any:
        try:
            return tried(*words)
        finally:
            settings.refresh()  # another thread, for another token
            tokens._asked = time.monotonic()

    monkeypatch.setattr(tokens, "_tried", slow)
    assert settings.verify(new)["sub"] == "kim"
