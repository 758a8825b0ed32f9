"""What `observe` and `inspect` ask a PostgreSQL server alike; for the rest, one asks what is
written there of the file's own names, the other what it comes to, of all.

https://www.postgresql.org/docs/current/view-pg-settings.html, …/catalog-pg-authid.html
"""

from __future__ import annotations

from typing import LiteralString

SETTINGS: LiteralString = """
    SELECT name, setting AS value, coalesce(unit, '') AS unit, vartype AS kind, context, source,
           pending_restart AS pending, enumvals AS choices FROM pg_settings
"""
#: What makes the role `r` more than a login.
SPECIAL: LiteralString = """
    array_remove(ARRAY[
      CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
      CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
      CASE WHEN r.rolreplication THEN 'REPLICATION' END,
      CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL)
"""
