"""Django Q2: a cluster, results, chains, its statistics. With ALONE, those of all clusters."""

import os
import tempfile
import time
from pathlib import Path

import django
from django.conf import settings

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
ALONE = os.environ.get("ALONE") == "yes"
FOLDER = os.environ.setdefault("FOLDER", tempfile.mkdtemp())
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django_q"],
    SECRET_KEY="x" * 50,
    USE_TZ=True,
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(FOLDER) / "q.sqlite"}
    },
    Q_CLUSTER={
        **({"name": PREFIX.removesuffix(":")} if PREFIX else {}),
        "workers": 1,
        "redis": URL,
        "poll": 0.1,
        "timeout": 30,
        "retry": 60,
    },
)
django.setup()


def main():
    from django.core.management import call_command
    from django_q.brokers import get_broker
    from django_q.cluster import Cluster
    from django_q.status import Stat
    from django_q.tasks import async_chain, async_task, result, result_group

    call_command("migrate", verbosity=0)
    broker = get_broker()
    cluster = Cluster(broker)
    cluster.start()
    try:
        one = async_task("operator.add", NAME, " 1", broker=broker)
        assert result(one, wait=30_000) == f"{NAME} 1"
        chain = async_chain([("operator.add", (NAME, number)) for number in (" 2", " 3")])
        assert {*result_group(chain, wait=30_000, count=2)} == {f"{NAME} 2", f"{NAME} 3"}
        deadline = time.monotonic() + 30
        while Stat.get(cluster.pid, cluster.cluster_id).status == "Stopped":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert broker.queue_size() == 0
        if ALONE:
            assert len(Stat.get_all()) == 1
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
