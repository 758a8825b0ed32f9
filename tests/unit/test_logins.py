"""The one policy for logins, case by case: `mngdb.engines.logins`."""

import pytest

from mngdb.engines import logins
from mngdb.engines.logins import Login
from mngdb.errors import UsageError
from mngdb.model import DesiredInstance, Outcome, Program, Site, Step
from mngdb.targets.additive import additive
from tests.unit.spec import stack

_EXTERNAL = "instances: {kept: {engine: redis, target: {external: {url: 'redis://admin@db'}}}}\n"
_SITE = Site("", "", "", "", 0, Program("", "", ""), ())
OURS, OTHERS, NOBODYS = "mine", "another", None
ID = "0a1b2c3d"
THIS, NAMESAKES, PROJECTS = f"mine/{ID}", "mine/99999999", "theirs/99999999"


def asked(managed: bool, *allow: str, engine: str = "redis") -> DesiredInstance:
    text = f"name: mine\n{engine}: {{}}\n" if managed else f"name: mine\n{_EXTERNAL}"
    (instance,) = stack(text).instances.values()
    site = _SITE if managed else None
    return DesiredInstance(OURS, instance, {}, site, allow=frozenset(allow), id=ID)


@pytest.mark.parametrize(
    ("managed", "mark", "owning", "consent"),
    [
        (True, OURS, True, False),
        (True, OTHERS, True, False),
        (True, NOBODYS, False, False),
        (True, NOBODYS, True, True),
        (True, NAMESAKES, True, False),
        (True, PROJECTS, False, True),
        (False, OURS, True, False),
        (False, THIS, True, False),
        (False, NAMESAKES, False, True),
        (False, NOBODYS, False, True),
        (False, NOBODYS, True, True),
    ],
)
def test_what_nobody_of_ours_made_is_taken_over_with_consent(
    managed: bool, mark: str | None, owning: bool, consent: bool
) -> None:
    login = Login("shop", mark)
    assert logins.needs_consent(asked(managed), login, owning=owning) is consent
    assert not logins.needs_consent(asked(managed, "shop"), login, owning=owning)
    assert logins.take_over(asked(managed), login).destructive


@pytest.mark.parametrize("allow", [(), ("shop",)])
def test_two_stacks_do_not_fight_for_a_login(allow: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="another"):
        logins.needs_consent(asked(False, *allow), Login("shop", OTHERS))


@pytest.mark.parametrize(
    ("managed", "mark", "usable", "fates"),
    [
        # without consent, when it is named, with --prune
        (True, OURS, True, ("close", "drop", "drop")),
        (True, OURS, False, ("closed", "drop", "drop")),
        (True, OTHERS, True, ("close", "drop", "drop")),
        (True, NOBODYS, True, ("report", "shut", "report")),
        (True, NOBODYS, False, ("leave", "leave", "leave")),
        (True, THIS, True, ("close", "drop", "drop")),
        (True, NAMESAKES, True, ("report", "shut", "report")),
        (True, PROJECTS, True, ("report", "shut", "report")),
        (True, PROJECTS, False, ("leave", "leave", "leave")),
        (False, OURS, True, ("close", "drop", "drop")),
        (False, THIS, True, ("close", "drop", "drop")),
        (False, NAMESAKES, True, ("leave", "leave", "leave")),
        (False, OTHERS, True, ("leave", "leave", "leave")),
        (False, NOBODYS, True, ("leave", "leave", "leave")),
    ],
)
def test_what_becomes_of_a_login_that_the_file_does_not_have(
    managed: bool, mark: str | None, usable: bool, fates: tuple[str, str, str]
) -> None:
    login = Login("shop", mark, usable)
    found = [logins.unwanted(asked(managed, *allow), login) for allow in ((), ("shop",), ("*",))]
    assert tuple(found) == fates


def test_who_has_the_same_vault_is_the_same_team_and_the_mark_stays() -> None:
    shared = Login("shop", NAMESAKES, agrees=True)
    assert not logins.needs_consent(asked(False), shared)
    assert not list(logins.namesakes(asked(False), [shared]))
    assert logins.mark(asked(False), shared) == NAMESAKES
    assert logins.mark(asked(False, "shop"), shared) == THIS
    assert logins.mark(asked(False), Login("shop", OURS, agrees=True)) == THIS
    assert logins.mark(asked(True), Login("shop")) == OURS


def test_whose_the_logins_of_a_namesake_are_is_told() -> None:
    found = [Login("shop", NAMESAKES), Login("web", NAMESAKES), Login("own", THIS), Login("theirs")]
    (told,) = logins.namesakes(asked(False), found)
    assert "mine-99999999, made the logins shop, web" in told.text
    assert not list(logins.namesakes(asked(True), found))


def adopted(*allow: str) -> DesiredInstance:
    (instance,) = stack(f"name: mine\nadopt: true\n{_EXTERNAL}").instances.values()
    return DesiredInstance(OURS, instance, {}, None, allow=frozenset(allow), id=ID)


@pytest.mark.parametrize(
    ("allow", "fate"),
    [((), "close"), (("*",), "close"), (("chatty",), "close"), (("*", "chatty"), "drop")],
)
def test_on_an_adopted_server_a_login_is_dropped_by_name_and_prune(
    allow: tuple[str, ...], fate: str
) -> None:
    assert logins.unwanted(adopted(*allow), Login("chatty", THIS)) == fate


@pytest.mark.parametrize(
    ("usable", "said", "hint"),
    [
        (True, "it can still log in", "mngdb up --prune --allow 'chatty' drops"),
        (False, "it cannot log in", "mngdb up --prune --allow 'chatty' drops"),
    ],
)
def test_a_login_that_left_an_adopted_file_is_told_once(usable: bool, said: str, hint: str) -> None:
    notice = logins.closed(adopted(), Login("chatty", THIS, usable))
    assert said in notice.text
    assert notice.hint.startswith(hint)
    steps = (
        Step("kept", "redis", "revoke", "chatty", "every right", print),
        Step("kept", "redis", "drop", "shop.index", "unused", print, destructive=True),
    )
    kept = additive(adopted(), Outcome(steps=steps, notices=(notice,)))
    assert not kept.steps
    assert [one.text for one in kept.notices] == [notice.text, "kept: drop shop.index: unused"]
    assert additive(adopted("chatty"), Outcome(steps=steps)).steps == steps[:1]
    # what folds into one line keeps what each says: who is locked out, for one
    assert kept.notices[1].alike == "kept: drop: unused:"


def test_consent_names_a_login_as_plans_do() -> None:
    role = asked(True, "role shop", engine="postgres")
    assert logins.unwanted(role, Login("shop", OURS)) == "drop"
    assert logins.take_over(role, Login("shop")).object == "role shop"
