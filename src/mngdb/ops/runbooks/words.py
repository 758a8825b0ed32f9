"""The runbooks' own sentences, in English and Korean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """One language."""

    korean: bool
    playbook: str
    checklist: str
    made: str
    what_runs: str
    unit: str
    engine: str
    address: str
    data: str
    apps: str
    first_look: str
    each_app: str
    starting: str
    starting_text: str
    secret_lost: str
    secret_lost_text: str
    restoring: str
    restoring_text: str
    alerts: str
    severity: Mapping[str, str]
    daily: str
    weekly: str
    deploying: str
    quarterly: str
    boxes: str
    boxes_text: str


ENGLISH = Words(
    korean=False,
    playbook="Recovery playbook",
    checklist="Operational checklist",
    made="Written by `mngdb render runbooks` from the stack's file; write it anew when that changes. "
    "Run the commands where the file is.",
    what_runs="What runs where",
    unit="unit",
    engine="engine",
    address="address",
    data="data",
    apps="Apps",
    first_look="First look",
    each_app="Then as each app, with its own login:",
    starting="A server is down, or the machine was restarted",
    starting_text="`up` starts what is stopped with the data that it has, and changes nothing else. "
    "When it fails, its last line names the server's log.",
    secret_lost="A password does not fit, or was lost",
    secret_lost_text="The vault is right: remove the secret's file there (or `mngdb secret set "
    "NAME`), and `up` gives the server the new one. Give the apps their settings again: "
    "`mngdb env APP`.",
    restoring="Restore from a backup",
    restoring_text="This version takes no backups of its own, so no restore was ever measured and "
    "no time can be promised. What there is: the append-only file and the snapshots of Redis, the "
    "write-ahead log of PostgreSQL, the journal of MongoDB, each in its data folder (above). Copy a "
    "data folder only while its server is stopped (`mngdb down`).",
    alerts="Alert by alert",
    severity={"critical": "critical", "warning": "warning", "info": "info"},
    daily="Every day",
    weekly="Every week",
    deploying="With each change",
    quarterly="Every quarter",
    boxes="Before production",
    boxes_text="`mngdb check` ticks all of them at once; each line names the command for one.",
)
KOREAN = Words(
    korean=True,
    playbook="복구 플레이북",
    checklist="운영 체크리스트",
    made="`mngdb render runbooks`가 스택의 파일에서 만들었습니다. 파일이 바뀌면 다시 만드십시오. 명령은 "
    "파일이 있는 폴더에서 실행합니다.",
    what_runs="무엇이 어디에서 도는가",
    unit="유닛",
    engine="엔진",
    address="주소",
    data="데이터",
    apps="앱",
    first_look="처음 볼 것",
    each_app="다음으로 앱마다 그 앱의 로그인으로:",
    starting="서버가 멈췄거나 기계가 다시 시작되었을 때",
    starting_text="`up`은 멈춘 것을 가진 데이터 그대로 시작하고 다른 것은 바꾸지 않습니다. 실패하면 마지막 "
    "줄이 서버의 로그를 알려 줍니다.",
    secret_lost="비밀번호가 맞지 않거나 잃어버렸을 때",
    secret_lost_text="vault가 기준입니다. 그곳의 파일을 지우거나 `mngdb secret set NAME`을 실행하면 `up`이 "
    "서버에 새 값을 줍니다. 앱에는 `mngdb env APP`의 설정을 다시 줍니다.",
    restoring="백업에서 복구하기",
    restoring_text="이 버전은 스스로 백업하지 않으므로 측정된 복구 시간이 없고 약속할 시간도 없습니다. 있는 "
    "것은 데이터 폴더(위 표) 안의 Redis AOF와 스냅샷, PostgreSQL WAL, MongoDB 저널입니다. 데이터 폴더는 "
    "서버가 멈춘 동안에만(`mngdb down`) 복사하십시오.",
    alerts="알림별 대응",
    severity={"critical": "심각", "warning": "경고", "info": "정보"},
    daily="매일",
    weekly="매주",
    deploying="변경할 때마다",
    quarterly="분기마다",
    boxes="운영 전",
    boxes_text="`mngdb check`가 한 번에 모두 확인합니다. 줄마다 그 하나를 확인하는 명령이 있습니다.",
)
