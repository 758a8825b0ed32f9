"""The runbooks' own sentences, in English and Korean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: The names of the pages, without the ending of their language.
PLAYBOOK, CHECKLIST = "RECOVERY_PLAYBOOK", "OPERATIONAL_CHECKLIST"


@dataclass(frozen=True)
class Words:
    """One language. `{…}` in a text is filled in."""

    ending: str
    """What the names of its files end in: each page leads to those of its own language."""
    playbook: str
    checklist: str
    made: str
    see_also: str
    what_runs: str
    unit: str
    engine: str
    address: str
    data: str
    volume: str
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
    linked: str
    linked_elsewhere: str
    severity: Mapping[str, str]
    daily: str
    weekly: str
    deploying: str
    quarterly: str
    boxes: str
    boxes_text: str
    around: Mapping[str, str]
    """What is checked besides the servers, to its heading."""

    def file(self, name: str) -> str:
        """The name of a page's file in this language."""
        return f"{name}{self.ending}"


ENGLISH = Words(
    ending=".md",
    playbook="Recovery playbook",
    checklist="Operational checklist",
    made="Written by `mngdb render runbooks` from the stack's file; write it anew when that changes. "
    "Run the commands where the file is.",
    see_also="See also",
    what_runs="What runs where",
    unit="unit",
    engine="engine",
    address="address",
    data="data",
    volume="volume",
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
    linked="Each alert links to its chapter here, as `{link}`.",
    linked_elsewhere="Alerts link to `{link}`. To have them link to this page, write in the stack's "
    "file:",
    severity={"critical": "critical", "warning": "warning", "info": "info"},
    daily="Every day",
    weekly="Every week",
    deploying="With each change",
    quarterly="Every quarter",
    boxes="Before production",
    boxes_text="`mngdb check` ticks all of them at once; each line names the command for one.",
    around={"stack": "The stack", "secrets": "Secrets", "host": "The machine"},
)
KOREAN = Words(
    ending=".ko.md",
    playbook="복구 플레이북",
    checklist="운영 체크리스트",
    made="`mngdb render runbooks`가 스택 파일을 바탕으로 생성한 문서입니다. 파일이 변경되면 다시 생성합니다. "
    "명령은 스택 파일이 있는 디렉터리에서 실행합니다.",
    see_also="관련 문서",
    what_runs="구성 현황",
    unit="유닛",
    engine="엔진",
    address="주소",
    data="데이터",
    volume="볼륨",
    apps="앱",
    first_look="초기 확인",
    each_app="이어서 앱마다 해당 앱의 계정으로 확인합니다.",
    starting="서버가 중지되었거나 호스트가 재부팅된 경우",
    starting_text="`up`은 중지된 서버를 기존 데이터 그대로 기동하고 다른 것은 변경하지 않습니다. 실패하면 마지막 "
    "줄에 해당 서버의 로그가 안내됩니다.",
    secret_lost="비밀번호가 일치하지 않거나 분실된 경우",
    secret_lost_text="시크릿 저장소(vault)의 값이 기준입니다. 해당 시크릿의 파일 하나만 삭제하거나 `mngdb secret set "
    "NAME`으로 새 값을 지정한 다음 `up`을 실행하면 서버에 새 값이 적용됩니다. 앱에는 `mngdb env APP`의 설정을 "
    "다시 전달합니다.",
    restoring="백업에서 복구",
    restoring_text="이 버전은 자체 백업을 수행하지 않으므로 측정된 복구 시간이 없으며 복구 시간을 보장할 수 없습니다. "
    "사용할 수 있는 것은 각 데이터 디렉터리(위 표)에 있는 Redis의 AOF와 스냅샷, PostgreSQL의 WAL, MongoDB의 "
    "저널입니다. 데이터 디렉터리는 반드시 서버를 중지한 상태(`mngdb down`)에서 복사합니다.",
    alerts="알림별 조치",
    linked="알림마다 이 문서의 해당 항목으로 연결되는 링크(`{link}`)가 포함됩니다.",
    linked_elsewhere="알림의 링크는 `{link}`입니다. 이 문서로 연결하려면 스택 파일에 다음과 같이 지정합니다.",
    severity={"critical": "심각(critical)", "warning": "경고(warning)", "info": "정보(info)"},
    daily="매일",
    weekly="매주",
    deploying="변경할 때마다",
    quarterly="매 분기",
    boxes="운영 환경 배포 전",
    boxes_text="`mngdb check`로 모든 항목을 한 번에 확인합니다. 한 항목만 확인하려면 해당 줄의 명령을 실행합니다.",
    around={"stack": "스택", "secrets": "시크릿", "host": "호스트"},
)
