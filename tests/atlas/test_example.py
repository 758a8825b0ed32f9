"""examples/chat-app with MongoDB in Atlas: the plan reads as the guide's chapter, `up` twice, and
every box of the guide's MongoDB list."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import boto3
import pytest

from tests.atlas.conftest import LOGIN, REGION, beside
from tests.atlas.handle import Handle, atlas
from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.live, pytest.mark.mongodb]
FILES = ("-f", "mngdb.yaml", "-f", "atlas.yaml")
#: What the guide's chapter asks for, in its order.
CHAPTER = (
    *("M10", "AP_NORTHEAST_2", "3 nodes", "PrivateLink"),
    *("readWrite on chatdb", "daily for 7 days", "03:00 UTC", "point in time 1 d"),
    *("CPU over 80 %", "replication lag over 10 s", "a snapshot failed"),
    *("chatdb.users.username_1", "chatdb.refreshtokens.expiresAt_1"),
)


@pytest.fixture(scope="module")
def fake(aws: str) -> Iterator[Handle]:
    with atlas(aws=aws) as found:
        yield found


@pytest.fixture(scope="module")
def example(fake: Handle, aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    found = beside(fake, tmp_path_factory.mktemp("stack"))
    shutil.copytree(ROOT / "examples/chat-app", found.folder, dirs_exist_ok=True)
    names = {name.lower(): value for name, value in LOGIN.items()}
    ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=aws, **names)
    vpc = ec2.create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.30.1.0/24")["Subnet"]["SubnetId"]
    found.env |= {**LOGIN, "AWS_ENDPOINT_URL": aws, "ATLAS_URL": fake.url}
    found.env |= {"CHAT_VPC": vpc, "CHAT_SUBNET": subnet}
    text = (found.folder / "mngdb.yaml").read_text().partition("\nagent:")[0]
    found.write(text.replace("port: auto ", f"port: {found.port(1)} "))
    yield found
    text = (found.folder / "atlas.yaml").read_text()
    (found.folder / "atlas.yaml").write_text(text.replace("tier: M10", "protected: false"))
    found.run(*FILES, "up", "--yes")
    found.run(*FILES, "destroy", "--yes", "chat")


def test_the_plan_reads_as_the_chapter_and_the_second_up_has_nothing_to_do(
    fake: Handle, example: Cli
) -> None:
    plan = example.ok(*FILES, "plan", "-v")
    for words in CHAPTER:
        assert words in plan
    example.ok(*FILES, "up", "--yes")
    fake.writes()
    assert "nothing to change" in example.run(*FILES, "up").stderr
    assert fake.writes() == []


def test_every_box_of_the_guide_passes(example: Cli) -> None:
    done = example.run(*FILES, "--json", "check", "--only", "atlas.*")
    findings = json.loads(done.stdout)["findings"]
    assert len(findings) == 16
    wrong = [(one["id"], one["evidence"]) for one in findings if one["verdict"] != "pass"]
    assert wrong == []
    assert done.returncode == 0


def test_the_whole_checklist_before_a_deployment_passes(example: Cli) -> None:
    example.ok(*FILES, "backup")
    example.ok(*FILES, "drill", "--yes")
    checklist = ("check", "--control", "guide: checklist", "--all")
    done = example.run(*FILES, "--json", *checklist)
    findings = json.loads(done.stdout)["findings"]
    wrong = [one for one in findings if one["verdict"] not in {"pass", "not_applicable"}]
    assert wrong == []
    assert done.returncode == 0


def test_a_command_line_moves_what_can_live_there(example: Cli) -> None:
    plan = json.loads(example.run("--target", "atlas", "--json", "config").stdout)
    assert plan["file"]["redis"]["target"] == "local"
    assert "atlas" in plan["file"]["mongodb"]["target"]
