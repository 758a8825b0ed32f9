"""Alembic, Procrastinate, pgvector, MongoEngine and Beanie, with the rights of the app that owns
its database. What each makes it drops."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

ENV = os.environ


def alembic() -> None:
    """Two revisions up, one found by autogenerate, and all down again."""
    import sqlalchemy as sa
    from alembic import command, config

    folder = Path("migrations")
    engine = sa.create_engine(ENV["POSTGRES_URL"])
    told = config.Config("alembic.ini")
    told.set_main_option("script_location", str(folder))
    command.init(told, str(folder))
    (folder / "env.py").write_text(
        "from alembic import context\n"
        "made = context.config.attributes\n"
        "with made['engine'].connect() as connection:\n"
        "    context.configure(connection, target_metadata=made['metadata'])\n"
        "    with context.begin_transaction():\n"
        "        context.run_migrations()\n"
    )
    told.attributes.update(engine=engine, metadata=sa.MetaData())
    for name in ("author", "book"):
        kind = sa.Enum("draft", "done", name=f"{name}_state")
        columns = (sa.Column("id", sa.Integer, primary_key=True), sa.Column("state", kind))
        sa.Table(name, told.attributes["metadata"], *columns)
        command.revision(told, name, autogenerate=True)
        command.upgrade(told, "head")
    command.check(told)
    assert {"author", "book"} <= {*sa.inspect(engine).get_table_names()}
    command.downgrade(told, "base")
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]
    with engine.begin() as connection:
        for kind in ("author_state", "book_state"):  # which downgrades leave
            connection.execute(sa.text(f"DROP TYPE {kind}"))
        connection.execute(sa.text("DROP TABLE alembic_version"))


def procrastinate() -> None:
    """Its schema; a worker that hears of a job by NOTIFY, and tries it again."""
    import procrastinate as library

    app = library.App(connector=library.PsycopgConnector(conninfo=ENV["POSTGRES_URL"]))
    done: list[str] = []

    @app.task(retry=1, pass_context=True)
    async def mail(context: library.JobContext, whose: str) -> None:
        if context.job.attempts == 0:
            raise ValueError("meant")
        done.append(whose)

    async def work() -> None:
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            await mail.defer_async(whose=ENV["POSTGRES_USER"])
            await app.run_worker_async(wait=False, install_signal_handlers=False)
            assert await app.job_manager.list_jobs_async(status="succeeded")

    asyncio.run(work())
    assert done == [ENV["POSTGRES_USER"]]


def pgvector() -> None:
    """Columns, an HNSW index, the nearest row."""
    import numpy
    import psycopg
    from pgvector.psycopg import register_vector

    with psycopg.connect(ENV["POSTGRES_URL"], autocommit=True) as connection:
        register_vector(connection)
        connection.execute("CREATE TABLE spots (id serial PRIMARY KEY, at vector(3))")
        connection.execute("CREATE INDEX ON spots USING hnsw (at vector_l2_ops)")
        for place in ([0, 0, 0], [1, 1, 1]):
            connection.execute("INSERT INTO spots (at) VALUES (%s)", (numpy.array(place),))
        near = numpy.array([0.9, 1, 1])
        row = connection.execute("SELECT id FROM spots ORDER BY at <-> %s LIMIT 1", (near,))
        assert row.fetchone() == (2,)
        connection.execute("DROP TABLE spots")


def mongoengine() -> None:
    """Documents, indexes, references, GridFS."""
    import mongoengine as me

    me.connect(host=ENV["MONGO_URI"], uuidRepresentation="standard")

    class Author(me.Document):
        name = me.StringField(unique=True)
        photo = me.FileField()

    class Book(me.Document):
        by = me.ReferenceField(Author, reverse_delete_rule=me.CASCADE)
        seen = me.DateTimeField()
        meta: ClassVar = {"indexes": [{"fields": ["seen"], "expireAfterSeconds": 60}]}

    kim = Author(name=ENV["MONGO_USER"])
    kim.photo.put(b"a picture")
    kim.save()
    Book(by=kim).save()
    assert Book.objects.first().by.name == ENV["MONGO_USER"]
    assert Author.objects.first().photo.read() == b"a picture"
    try:
        Author(name=ENV["MONGO_USER"]).save()
    except me.NotUniqueError:
        pass
    else:
        raise AssertionError("a name twice")
    kim.delete()
    assert Book.objects.count() == 0
    me.get_connection().drop_database(ENV["MONGO_DATABASE"])


def beanie() -> None:
    """Documents, indexes, a migration of documents, transactions, change streams."""
    from beanie import Document, Indexed, init_beanie
    from pymongo import AsyncMongoClient

    class Note(Document):
        name: Indexed(str, unique=True)  # type: ignore[valid-type]
        seen: int = 0

    async def work() -> None:
        client = AsyncMongoClient(ENV["MONGO_URI"])
        await init_beanie(client[ENV["MONGO_DATABASE"]], document_models=[Note])
        async with await Note.get_pymongo_collection().watch() as changes:
            async with client.start_session() as session, await session.start_transaction():
                await Note(name=ENV["MONGO_USER"]).insert(session=session)
            assert (await changes.next())["operationType"] == "insert"
        await Note.find(Note.seen == 0).inc({Note.seen: 1})
        assert [one.seen for one in await Note.find_all().to_list()] == [1]
        await Note.get_pymongo_collection().drop()
        await client.close()

    asyncio.run(work())


STEPS: dict[str, Callable[[], None]] = {
    step.__name__: step for step in (alembic, procrastinate, pgvector, mongoengine, beanie)
}
STEPS[sys.argv[1]]()
