"""What `manage.py migrate` and `manage.py test` do with a connection pool, each in a process of its
own, and whether the app's own database has what the app wrote and nothing else."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version

import dj_database_url
import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test.runner import DiscoverRunner

DATABASE = dj_database_url.parse(os.environ["DATABASE_URL"])
OWN = f"test_{DATABASE['NAME']}"
DATABASE["OPTIONS"] = {**DATABASE.get("OPTIONS", {}), "pool": True}
settings.configure(
    DATABASES={"default": DATABASE},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402 - once it is set up


def test(*, keep: bool) -> None:
    """Make the test database, work in it, and remove it or not."""
    runner = DiscoverRunner(keepdb=keep, verbosity=0, interactive=False)
    old = runner.setup_databases()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        (name,) = cursor.fetchone()
    assert name == OWN, name
    User.objects.all().delete()
    User.objects.create(username="in the test")
    runner.teardown_databases(old)


if sys.argv[1] == "migrate":
    call_command("migrate", verbosity=0)
    User.objects.create(username="production")
elif sys.argv[1] == "read":
    assert [one.username for one in User.objects.all()] == ["production"]
else:
    test(keep=sys.argv[1] == "keep")
print("Django", version("Django"))
