"""Which login a password is for, which logins are open, and in which order; no server is asked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from mngdb.engines.mongodb import facts as mongodb_facts
from mngdb.engines.mongodb import slow, users
from mngdb.engines.mongodb.reconcile import reconcile as reconcile_mongodb
from mngdb.engines.postgres import alike
from mngdb.engines.postgres import facts as postgres_facts
from mngdb.engines.postgres.reconcile import reconcile as reconcile_postgres
from mngdb.engines.redis import acl
from mngdb.errors import UsageError
from mngdb.model import DesiredInstance, Program, Site
from mngdb.ops.rotate.note import Entry, entries, keep, together
from mngdb.ops.rotate.report import said
from mngdb.secret import Secret, after, app_of, generate, login_of
from mngdb.spec.mongodb import MongodbGrant
from tests.unit.spec import refused, stack

FIRST = Secret("a-first-password-of-an-app-1234567890")
FILE = "postgres: {}\nredis: {}\nmongodb: {}\nagent: false\napps:\n  shop: {%s: shop}\n"
_SITE = Site("/data", "/conf", "/run", "/log", 1 << 30, Program("/bin/x", "/bin", "17.1"), ("me",))


def asked(engine: str, secret: Secret, also: Secret | None = None) -> DesiredInstance:
    """An instance with one app, which has this secret, and another one beside it."""
    instance = stack(FILE % engine).instances[engine]
    secrets = {"admin": Secret("admin-password"), "shop": secret}
    second = {"shop": also} if also else {}
    return DesiredInstance("mng", instance, secrets, _SITE, also=second)


def test_passwords_alternate_between_two_logins() -> None:
    assert login_of("shop", FIRST) == "shop"
    second = after(FIRST)
    assert (login_of("shop", second), login_of("shop", after(second))) == ("shop.2", "shop")
    assert (app_of("shop"), app_of("shop.2")) == ("shop", "shop")
    assert second.reveal().isascii()


def test_a_password_that_ends_so_by_chance_is_for_the_first_login() -> None:
    assert login_of("shop", Secret("made-by-a-person.2")) == "shop"
    assert {login_of("shop", generate()) for _ in range(1000)} == {"shop"}


def test_while_a_rotation_goes_on_both_logins_are_open() -> None:
    second = after(FIRST)
    assert asked("postgres", FIRST).logins("shop") == {"shop": FIRST}
    assert asked("postgres", second).logins("shop") == {"shop.2": second}
    both = {"shop": FIRST, "shop.2": second}
    assert asked("postgres", FIRST, second).logins("shop") == both
    # a password that a person has set meanwhile is for the same login: the current one counts
    assert asked("postgres", FIRST, generate()).logins("shop") == {"shop": FIRST}


def test_redis_has_one_user_with_both_passwords() -> None:
    second = generate()
    users = acl.wanted(asked("redis", FIRST, second))
    assert users["shop"].passwords == {acl.sha256(FIRST), acl.sha256(second)}
    assert set(users) == {"admin", "default", "shop"}


def names(steps: object) -> list[tuple[str, str]]:
    """Action and object, of the app's logins."""
    found = [(step.action, step.object) for step in steps]  # type: ignore[attr-defined]
    return [one for one in found if "shop" in one[1] and "database" not in one[1]]


def test_postgresql_opens_one_login_before_it_closes_the_other() -> None:
    role = postgres_facts.Role(postgres_facts.MARK + "mng", settings={}, password=True)
    there = asked("postgres", after(FIRST))
    found = replace(postgres_facts.initial(there), roles={"shop": role})
    steps = names(reconcile_postgres(there, found).steps)
    assert steps[0] == ("create", "role shop.2")
    assert steps[-1] == ("revoke", "role shop")


def test_postgresql_makes_the_owner_before_the_login_that_is_it() -> None:
    there = asked("postgres", after(FIRST))
    steps = names(reconcile_postgres(there, postgres_facts.initial(there)).steps)
    assert steps == [("create", "role shop"), ("create", "role shop.2")]


def test_mongodb_opens_one_login_before_it_closes_the_other() -> None:
    there = asked("mongodb", after(FIRST))
    user = mongodb_facts.User(
        name="shop",
        mark="mng",
        closed=False,
        roles=frozenset({("admin", "mngdb-shop")}),
        mechanisms=frozenset({"SCRAM-SHA-256"}),
        scram=None,
        custom={},
    )
    role = mongodb_facts.Role("mngdb-shop", users.rights(_grant(there)), frozenset())
    found = mongodb_facts.Facts(version="8.0", users={"shop": user}, roles={role.name: role})
    steps = names(reconcile_mongodb(there, found).steps)
    assert steps == [("create", "shop.2"), ("revoke", "shop")]
    # one that rests is no login of an app that left, and is no stranger
    rests = replace(user, closed=True, roles=frozenset())
    open_ = replace(user, name="shop.2")
    found = replace(found, users={"shop": rests, "shop.2": open_})
    outcome = reconcile_mongodb(there, found)
    assert names(outcome.steps) == [("change", "shop.2")]  # its password is not known here
    assert [one.text for one in outcome.notices if "login" in one.text] == []


def _grant(there: DesiredInstance) -> MongodbGrant:
    return there.instance.granted(MongodbGrant)["shop"]


def test_the_note_has_names_and_no_secret(tmp_path: Path) -> None:
    entry = Entry("redis_shop", "redis", "shop", "waiting", 1.0, 900.0, published=2.0)
    assert entries(tmp_path) == {}
    keep(tmp_path, [entry])
    assert entries(tmp_path) == {"redis_shop": entry}
    (tmp_path / "rotation.json").write_text('[{"secret": 1}]')
    with pytest.raises(UsageError, match="damaged"):
        entries(tmp_path)


def test_what_is_over_soon_is_not_said_to_go_on_for_0_s() -> None:
    one = Entry("redis_shop", "redis", "shop", "waiting", 0.0, 900.0, time.time())
    assert "may go on for 900 s" in said(one)
    for soon in (replace(one, grace=0.0), replace(one, now=True)):
        assert said(soon) == "the old password is being withdrawn"


def test_the_note_of_a_thousand_logins_can_be_read_again(tmp_path: Path) -> None:
    names = [f"postgres_a-rather-long-name-of-an-app-{number}" for number in range(1000)]
    every = together(names)
    assert every == together(reversed(names)) != together(names[:-1])
    new = [Entry(name, "postgres", name, "opening", 1.0, 900.0, together=every) for name in names]
    keep(tmp_path, new)
    assert [*entries(tmp_path)] == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rotate: soon", "soon"),
        ("rotate: {every: 10m}", "more than 1h"),
        ("rotate: {every: 2h, grace: 3h}", "more than grace (3h)"),
        ("rotate: {grace: 3h}", "every"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(text: str, said: str) -> None:
    assert said in refused(f"redis: {{}}\n{text}\n")


def test_a_schedule_may_be_short() -> None:
    found = stack("redis: {}\nrotate: 90d\n").source.rotate
    assert found is not None
    assert (found.every.days, found.grace.total_seconds()) == (90, 900)


def test_slow_operations_of_both_logins_are_one_apps() -> None:
    one = {"op": "query", "ns": "shop.rooms", "command": {"find": "rooms"}, "millis": 3}
    both = [{**one, "user": f"{login}@admin"} for login in ("shop", "shop.2")]
    assert [(s.app, s.calls) for s in slow._grouped("shop", both)] == [("shop", 2)]


def test_settings_of_the_first_login_are_given_without_saying_their_values() -> None:
    owner = [
        postgres_facts.Carried("search_path", '"$user", "we""ird", ""'),
        postgres_facts.Carried("app.key", "hush, now", "shop"),
        postgres_facts.Carried("lock_timeout", "1"),  # the file's
        postgres_facts.Carried("local_preload_libraries", "none"),
        postgres_facts.Carried("local_preload_libraries", "none", "shop"),
    ]
    found = [postgres_facts.Carried("role", "shop"), postgres_facts.Carried("jit", "off")]
    parts = [*alike.differing("shop.2", owner, found, {"lock_timeout"})]
    assert [statement.as_string(None) for _, statement in parts] == [
        'ALTER ROLE "shop.2" RESET "jit"',
        'ALTER ROLE "shop.2" IN DATABASE "shop" SET "app.key" = \'hush, now\'',
        "ALTER ROLE \"shop.2\" SET \"search_path\" = '$user', 'we\"ird', ''",
    ]
    assert not [text for text, _ in parts if "hush" in text or "ird" in text]


@pytest.mark.parametrize(
    ("url", "shared"),
    [
        ("redis://h", True),
        ("redis://default@h", True),
        ("redis://boss@h", False),
        ("mongodb://boss@h", False),
    ],
)
def test_an_administrator_that_every_client_is_keeps_its_password(url: str, shared: bool) -> None:
    engine = url.partition(":")[0]
    found = stack(f"{engine}: {{target: {{external: {{url: '{url}'}}}}}}").instances[engine]
    assert found.shares_admin is shared
