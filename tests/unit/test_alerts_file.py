"""The key `alerts` of the file: what is taken, and what is refused with a sentence."""

from __future__ import annotations

from datetime import timedelta

import pytest
from apprise.utils.parse import is_email
from hypothesis import given, settings
from hypothesis import strategies as st

from mngdb.alerts.catalogue import RULES, redis
from mngdb.alerts.rules import described
from mngdb.spec import alerts as spec
from mngdb.spec.alerts import Alerts
from tests.unit.spec import refused, stack

MAIL = "{kind: email, host: localhost, from: a@b.example, to: [x@y.example]}"


def read(text: str) -> Alerts:
    return stack(f"redis: {{}}\nalerts: {text}\n").source.alerts


def test_the_file_knows_the_rules_that_there_are() -> None:
    assert sorted(rule.name for rule in RULES) == sorted(spec.rule_names())


def test_a_condition_without_a_description_is_an_error() -> None:
    with pytest.raises(KeyError, match="Redis"):
        described(redis.__file__, {"RedisSilent": "redis_up"})


def test_without_the_key_nobody_is_told_and_every_rule_is_as_it_is() -> None:
    found = stack("redis: {}").source.alerts
    assert (found.channels, found.rules, found.every) == ({}, {}, timedelta(seconds=15))


def test_a_rule_is_adjusted_or_turned_off() -> None:
    rules = read(
        "{rules: {RedisHighMemory: {threshold: 0.9, for: 10m, severity: critical}, "
        "RedisEvictedKeys: false}}"
    ).rules
    memory = rules["RedisHighMemory"]
    assert (memory.threshold, memory.severity) == (0.9, "critical")
    assert memory.for_ == timedelta(minutes=10)
    assert not rules["RedisEvictedKeys"].enabled


def test_channels_in_short_and_in_long() -> None:
    channels = read(f"{{channels: {{team: slack, duty: pagerduty, ops: {MAIL}}}}}").channels
    assert [channel.kind for channel in channels.values()] == ["slack", "pagerduty", "email"]
    assert [channel.least for channel in channels.values()] == ["warning", "critical", "warning"]
    assert [channel.needs_secret for channel in channels.values()] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{rules: {RedisHighMemroy: false}}", "did you mean 'RedisHighMemory'?"),
        ("{rules: {RedisDown: {treshold: 1}}}", "did you mean 'threshold'?"),
        ("{rules: {RedisDown: {fro: 1m}}}", "did you mean 'for'?"),
        ("{rules: {RedisDown: {for: soon}}}", "'soon' is not a duration"),
        ("{rules: {RedisDown: {severity: bad}}}", "'critical', 'warning' or 'info'"),
        ("{rules: {RedisHighMemory: {threshold: .inf}}}", "a valid number"),
        ("{channels: {x: sms}}", "'email', 'slack', 'pagerduty' or 'webhook'"),
        ("{channels: {x: email}}", "needs the key 'host'"),
        ("{channels: {x: {kind: email, host: h, from: a@b.example}}}", "needs the key 'to'"),
        (
            "{channels: {x: {kind: email, host: h, from: a@b.example, to: [c]}}}",
            "is not a mail address",
        ),
        (
            "{channels: {x: {kind: email, host: h, from: root@db-1, to: [a@b.example]}}}",
            "alerts.channels.x.from",
        ),
        ("{channels: {x: {kind: slack, host: h}}}", "'host' is for 'kind: email' only"),
        ("{channels: {x: {kind: pagerduty, severity: info}}}", "critical alerts only"),
        (
            "{channels: {x: {kind: email, host: h, from: a@b.example, to: [c@d.example], user: u, "
            "encryption: none}}}",
            "exposes the password",
        ),
        ("{channels: {x: {kind: slack, template: jandi}}}", "is for 'kind: webhook' only"),
        ("{channels: {x: {kind: webhook, template: jandy}}}", "did you mean 'jandi'?"),
        ("{channels: {x: {kind: webhook, template: {t: '{txt}'}}}}", "placeholder {txt}"),
        ("{channels: {x: {kind: webhook, address: 'http://h/x'}}}", "requires https://"),
        ("{channels: {x: {kind: webhook, address: 'https://u@h/x'}}}", "channels.x.address"),
        ("{rules: {RedisMemoryHigh: false}}", "it is called 'RedisHighMemory' now"),
        ("{every: 100ms}", "whole seconds"),
        ("{every: 0s}", "the shortest interval"),
        ("{runbook: 'two words'}", "pattern"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    told = refused(f"redis: {{}}\nalerts: {text}\n")
    assert said in told
    assert told.startswith("mngdb.yaml:2:")


@pytest.mark.parametrize(
    "channel",
    [
        "https://hooks.example.com/services/T1/B2/s3cr3t",
        "{kind: 'https://hooks.example.com/services/T1/B2/s3cr3t'}",
        "{kind: slack, url: 'https://hooks.example.com/services/T1/B2/s3cr3t'}",
        "{kind: webhook, webhook: 'https://hooks.example.com/s3cr3t'}",
        "{kind: pagerduty, routing_key: s3cr3t}",
        "{kind: pagerduty, token: s3cr3t}",
        "{kind: email, host: h, from: a@b, to: [c@d], user: u, password: s3cr3t}",
        "{kind: email, host: h, from: a@b, to: [c@d], user: u, secret: s3cr3t}",
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(channel: str) -> None:
    told = refused(f"redis: {{}}\nalerts: {{channels: {{x: {channel}}}}}\n")
    assert "mngdb secret set" in told
    assert "s3cr3t" not in told


@settings(max_examples=200, deadline=None)
@given(st.from_regex(f"^{spec._ADDRESS}$", fullmatch=True))
def test_every_address_that_the_file_may_have_is_one_that_is_told(address: str) -> None:
    if len(address) <= 64:
        assert is_email(address)


def test_an_instance_cannot_take_the_name_of_the_channels_secrets() -> None:
    assert "'alerts' is taken" in refused("instances: {alerts: {engine: redis}}\n")
