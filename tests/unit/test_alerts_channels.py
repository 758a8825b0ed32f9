"""Messages arrive at real servers on loopback; what fails is said, and no secret with it."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from apprise.plugins import pagerduty, slack
from msgspec.structs import replace

from mngdb.alerts import channels
from mngdb.alerts.evaluator import Alert
from mngdb.alerts.notify import Message
from mngdb.alerts.rules import filled
from mngdb.errors import MngdbError
from mngdb.secret import Secret
from mngdb.spec.alerts import Channel
from mngdb.targets.process import tls
from tests.conftest import Cli, free_port
from tests.unit.receivers import hook, mailbox

FIRING = Alert(
    "RedisDown",
    "critical",
    "firing",
    (("instance", "redis"), ("job", "redis")),
    1_700_000_000.0,
    0.0,
    "Redis redis does not answer",
    "Look at 'mngdb status'.",
    "https://wiki.example/book#redisdown",
)
OVER = Alert(
    "HostDiskFull",
    "critical",
    "resolved",
    (("path", "/data"),),
    1_700_000_000.0,
    0.97,
    "the disk under /data is all but full",
    "Free space.",
    "https://wiki.example/book#hostdiskfull",
)
MESSAGE = Message("mng", (FIRING,), (OVER,), frozenset({FIRING.key}))
SECRET = "s3cr3t-0123456789"


def channel(kind: str, **keys: Any) -> Channel:
    return Channel.model_validate({"kind": kind, **keys})


def mail(port: int, **keys: Any) -> Channel:
    wanted = {"encryption": "none", **keys}
    return channel(
        "email",
        host="localhost",
        port=port,
        to=["ops@example.com", "b@example.com"],
        **{"from": "mngdb@example.com", **wanted},
    )


def failed(kind: Channel, secret: str | None = SECRET) -> MngdbError:
    with pytest.raises(MngdbError) as caught:
        channels.send("x", kind, Secret(secret) if secret else None, MESSAGE)
    error = caught.value
    assert SECRET not in error.message + (error.hint or "")
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    return error


def test_a_mail_arrives_with_everything_that_a_person_needs() -> None:
    with mailbox() as box:
        channels.send("ops", mail(box.port), None, MESSAGE)
    assert {mail["To"] for mail in box.mails} == {"ops@example.com", "b@example.com"}
    sender: Any = box.mails[0]["From"]
    assert sender.addresses[0].addr_spec == "mngdb@example.com"
    assert box.mails[0]["Subject"] == "[mng] 1 firing, 1 resolved: RedisDown, HostDiskFull"
    text = box.texts()[0]
    assert "CRITICAL RedisDown: Redis redis does not answer" in text
    assert "since 2023-11-14T22:13:20Z, value 0" in text
    assert "https://wiki.example/book#redisdown" in text
    assert "RESOLVED HostDiskFull: the disk under /data is all but full" in text


def test_a_login_goes_over_an_encrypted_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = tls.ensure_ca(tmp_path, "mail")
    own, key = tmp_path / "own", tmp_path / "key"
    for path, text in zip((own, key), tls.certificate(tmp_path, ["localhost"]), strict=True):
        path.write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, key)
    with mailbox(context, SECRET) as box:
        kind = mail(box.port, user="mngdb", encryption="starttls")
        # whoever is not known is told nothing, least of all a password
        assert "its certificate is not trusted" in failed(kind).message
        assert box.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        channels.send("ops", kind, Secret(SECRET), MESSAGE)
        assert len(box.mails) == 2
        assert box.logins[-1] == ("mngdb", SECRET)
        error = failed(kind, "wrong-password-1")
        assert "535, the login is wrong" in error.message


def test_a_mail_server_that_is_away_is_said() -> None:
    error = failed(mail(free_port()))
    assert error.message.endswith("localhost: the connection was refused")


def test_a_webhook_gets_what_alertmanager_would_send() -> None:
    with hook() as found:
        channels.send("hook", channel("webhook"), Secret(f"{found.url}/{SECRET}?a=b"), MESSAGE)
    assert found.paths == [f"/{SECRET}?a=b"]
    (body,) = found.bodies
    assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "hook")
    first, second = body["alerts"]
    assert first["labels"] == {
        "alertname": "RedisDown",
        "severity": "critical",
        "stack": "mng",
        "instance": "redis",
        "job": "redis",
    }
    assert first["annotations"]["runbook_url"] == "https://wiki.example/book#redisdown"
    assert first["startsAt"] == "2023-11-14T22:13:20Z"
    assert (second["status"], "endsAt" in second) == ("resolved", True)


def test_a_webhook_is_told_as_its_service_wants_it() -> None:
    with hook() as found:
        url = Secret(f"{found.url}/{SECRET}")
        channels.send("a", channel("webhook", template="jandi"), url, MESSAGE)
        own = {"room": 7, "lines": [["{status}", "{severity}", "{stack}"]], "raw": "{{}} {title}"}
        channels.send("b", channel("webhook", template=own), url, MESSAGE)
    jandi, mine = found.bodies
    assert jandi["body"] == "[mng] 1 firing, 1 resolved: RedisDown, HostDiskFull"
    assert jandi["connectInfo"][0]["description"].startswith("CRITICAL RedisDown")
    assert found.headers[0]["Accept"] == "application/vnd.tosslab.jandi-v2+json"
    assert mine["room"] == 7
    assert mine["lines"] == [["firing", "critical", "mng"]]
    assert mine["raw"].endswith("RedisDown, HostDiskFull")


#: What a database is called by an app that wants its name to be read as something else.
FORGED = "x [fix](http://evil.example)\n\nRESOLVED all <!channel> @all `b` **c** \u2028CRITICAL"


@pytest.mark.parametrize("template", [None, "jandi", "naverworks", "dooray", "teams"])
def test_a_name_that_an_app_chose_is_only_a_name(template: str | None) -> None:
    summary = filled("an app is idle in {datname}", {"datname": FORGED})
    forged = replace(FIRING, labels=(("datname", FORGED),), summary=summary)
    with hook() as found:
        kind = channel("webhook", **({"template": template} if template else {}))
        url = Secret(f"{found.url}/{SECRET}")
        channels.send("a", kind, url, Message("mng", (forged,)))
    told = json.dumps(found.bodies, ensure_ascii=False)
    assert "RESOLVED all" in told
    marks = ("[fix", "](", "://evil", "\\n\\nRESOLVED", "<!", "@all", "`b`", "**c", "\u2028")
    assert [mark for mark in marks if mark in told] == []


def test_a_webhook_gets_a_bearer_token_and_no_more_text_than_it_takes() -> None:
    with hook() as found:
        works = channel("webhook", template="naverworks", address=f"{found.url}/bots/1/channels/2")
        long = replace(FIRING, description="길" * 5000)
        said = Message("mng", (long,), timezone="Asia/Seoul")
        channels.send("works", works, Secret(SECRET), said)
        found.status = 401
        assert "refuses the token" in failed(works, SECRET).message
    (text,) = {one["content"]["text"] for one in found.bodies[:1]}
    assert "since 2023-11-15 07:13:20 KST" in text
    assert len(text) < 2000
    assert found.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert found.paths[0] == "/bots/1/channels/2"


def test_a_webhook_that_refuses_or_is_away_is_said() -> None:
    with hook() as found:
        found.status = 500
        error = failed(channel("webhook"), f"{found.url}/{SECRET}")
        assert error.message.endswith(" 500")
        found.status = 302
        assert failed(channel("webhook"), f"{found.url}/{SECRET}").message.endswith("302")
    error = failed(channel("webhook"), f"http://127.0.0.1:{free_port()}/{SECRET}")
    assert error.message == "the webhook cannot be reached: the connection was refused"


def test_slack_is_told_at_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    token = "T01234567/B01234567/s3cr3t0123456789abcdefgh"
    url = f"https://hooks.slack.com/services/{token}"
    with hook() as found:
        monkeypatch.setattr(slack.NotifySlack, "webhook_url", f"{found.url}/services")
        channels.send("team", channel("slack"), Secret(url), MESSAGE)
        assert found.paths == [f"/services/{token}"]
        assert "RedisDown" in str(found.bodies[0])
        found.status = 404
        with pytest.raises(MngdbError) as caught:
            channels.send("team", channel("slack"), Secret(url), MESSAGE)
        assert caught.value.message.endswith(" 404")
    with pytest.raises(MngdbError) as caught:
        channels.send("team", channel("slack"), Secret(url), MESSAGE)
    assert caught.value.message.endswith("Slack: the connection was refused")


def test_pagerduty_gets_an_incident_for_each_alert_and_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with hook() as found:
        monkeypatch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, pagerduty.PagerDutyRegion.US, found.url)
        monkeypatch.setattr(pagerduty.NotifyPagerDuty, "request_rate_per_sec", 0)
        found.status = 202
        channels.send("duty", channel("pagerduty"), Secret(SECRET), MESSAGE)
    first, second = found.bodies
    assert (first["event_action"], first["routing_key"]) == ("trigger", SECRET)
    assert first["payload"]["severity"] == "critical"
    assert first["dedup_key"] == "mng/RedisDown/instance=redis,job=redis"
    assert (second["event_action"], second["dedup_key"]) == (
        "resolve",
        "mng/HostDiskFull/path=/data",
    )


@pytest.mark.parametrize(
    ("kind", "secret", "said"),
    [
        ("slack", SECRET, "Slack webhook URL"),
        ("slack", f"https://example.com/{SECRET}", "Slack webhook URL"),
        ("webhook", SECRET, "HTTP URL"),
        ("webhook", None, "the secret alerts_x is missing"),
    ],
)
def test_a_secret_that_does_not_fit_is_said(kind: str, secret: str | None, said: str) -> None:
    error = failed(channel(kind), secret)
    assert said in error.message
    assert error.hint == "mngdb secret set alerts_x"
    assert error.exit_code == 2


# --- the command


def test_the_command_sends_a_test(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    with mailbox() as box, hook() as found:
        cli.write(
            "redis: {}\nalerts:\n  channels:\n    hook: webhook\n"
            f"    ops: {{kind: email, host: localhost, port: {box.port}, encryption: none, "
            "from: a@example.com, to: [b@example.com]}\n"
        )
        assert cli.ok("alerts", "test", "ops") == "ops accepted the test message\n"
        assert "this is a test of the channel" in box.texts()[0]
        done = cli.run("alerts", "test", "hook")
        assert done.returncode == 2
        assert "the secret alerts_hook is missing" in done.stderr
        cli.ok("secret", "set", "alerts_hook", stdin=f"{found.url}/{SECRET}\n")
        assert cli.json("alerts", "test", "hook")["sent"] is True
        assert found.alerts() == [("firing", "Test")]
    done = cli.run("alerts", "test", "hook")
    assert done.returncode == 1
    assert "the connection was refused" in done.stderr
    assert SECRET not in done.stderr
    done = cli.run("alerts", "test", "nobody")
    assert done.returncode == 2
    assert "in the file: hook, ops" in done.stderr
