"""Commits that wait until the store has them: synchronous replication, whose standby is whoever
follows the log (`wal.py`) and says that it is flushed once it is stored.

`strict` is in postgresql.conf. For `sync`, the agent lays the setting over that by ALTER SYSTEM
while it may, so that a server whose agent never comes waits for nobody.
https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION
"""

from __future__ import annotations

from psycopg.sql import SQL, Identifier, Literal

from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.render import AWAITED, slot
from mngdb.model import DesiredInstance
from mngdb.snapshot import Held

#: A standby that still catches up is not waited for.
_LOOK = """
    SELECT current_setting('synchronous_standby_names'),
           pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint,
           (SELECT max(pg_wal_lsn_diff(flush_lsn, '0/0'))::bigint FROM pg_stat_replication
            WHERE application_name = %s AND state = 'streaming'),
           (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep')
"""


def laid_over(asked: DesiredInstance, value: str) -> bool:
    """Whether a value of the setting is the agent's, which lays it over the files and takes it away
    again as the store comes and goes."""
    return asked.instance.recovery_point == "sync" and value == slot(asked)


class PostgresCommits:
    """What commits wait for."""

    def look(self, session: Session, asked: DesiredInstance) -> Held:
        """How they stand to the archive. Raises UnobservableError."""
        ((value, written, stored, waiting),) = session.rows(_LOOK, slot(asked))
        ours = value == slot(asked)
        return Held(ours, "" if ours else value, written, stored, waiting)

    def hold(self, session: Session, asked: DesiredInstance) -> None:
        """Have them wait for whoever follows the log. Raises StepError."""
        name, value = Identifier(AWAITED), Literal(slot(asked))
        session.system(SQL("ALTER SYSTEM SET {} = {}").format(name, value))
        session.rows("SELECT pg_reload_conf()")

    def free(self, session: Session, asked: DesiredInstance) -> None:
        """Have none wait, also of those that do. Raises StepError."""
        session.system(SQL("ALTER SYSTEM RESET {}").format(Identifier(AWAITED)))
        session.rows("SELECT pg_reload_conf()")
