WITH holder AS (
  SELECT DISTINCT a.grantee AS oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
    aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
  WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND a.grantee <> 0
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  UNION SELECT oid FROM pg_roles WHERE rolname IN ('pg_read_all_data', 'pg_write_all_data')
)
SELECT r.rolname FROM pg_roles r, pg_database d
WHERE d.datname = current_database() AND r.rolcanlogin AND NOT r.rolsuper
  AND NOT pg_has_role(r.oid, d.datdba, 'USAGE')
  AND NOT EXISTS (SELECT FROM aclexplode(d.datacl) a WHERE a.grantee <> 0
                  AND a.privilege_type = 'CONNECT' AND pg_has_role(r.oid, a.grantee, 'USAGE'))
  AND EXISTS (SELECT FROM holder WHERE pg_has_role(r.oid, holder.oid, 'USAGE'))
ORDER BY r.rolname
