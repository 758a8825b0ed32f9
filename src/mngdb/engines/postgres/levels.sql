WITH relation AS MATERIALIZED (
  SELECT c.oid, c.relowner AS owner, n.oid AS place
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f')
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                    AND d.objid = c.oid AND d.deptype = 'e')
)
SELECT r.rolname, count(t.oid),
       count(*) FILTER (WHERE t.owner = r.oid),
       count(*) FILTER (WHERE has_schema_privilege(r.oid, t.place, 'USAGE')
                        AND has_table_privilege(r.oid, t.oid, 'SELECT')),
       count(*) FILTER (WHERE has_schema_privilege(r.oid, t.place, 'USAGE')
                        AND has_table_privilege(r.oid, t.oid, 'INSERT')
                        AND has_table_privilege(r.oid, t.oid, 'UPDATE')
                        AND has_table_privilege(r.oid, t.oid, 'DELETE')),
       count(*) FILTER (WHERE has_table_privilege(r.oid, t.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))
FROM pg_roles r LEFT JOIN relation t ON true WHERE r.rolname = ANY(%s) GROUP BY r.rolname
