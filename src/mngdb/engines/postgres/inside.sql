WITH member AS MATERIALIZED (
  SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
    AND classid IN ('pg_class'::regclass, 'pg_namespace'::regclass)
), relation AS MATERIALIZED (
  SELECT c.oid, CASE WHEN c.relkind = 'S' THEN 'sequence' ELSE 'table' END AS kind, c.relacl AS acl,
         c.relowner AS owner, c.relkind IN ('r', 'p') AS ordinary, n.oid AS place
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_roles o ON o.oid = c.relowner
  WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT FROM member e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
                    AND o.rolsuper)
), object AS (
  SELECT kind, acl, owner FROM relation
  UNION ALL
  SELECT 'schema', n.nspacl, n.nspowner
  FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner
  WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT EXISTS
    (SELECT FROM member e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid
     AND o.rolsuper)
  UNION ALL
  SELECT 'column', t.attacl, r.owner FROM pg_attribute t JOIN relation r ON r.oid = t.attrelid
  WHERE t.attacl IS NOT NULL
), grantee AS (
  SELECT 0::oid AS oid, '' AS name
  UNION ALL SELECT oid, rolname FROM pg_roles WHERE rolname = ANY(%s)
)
SELECT 'extension', extname::text, '', '', '', 1::bigint FROM pg_extension
UNION ALL
SELECT 'total', kind, '', '', '', count(*) FROM object WHERE kind <> 'column' GROUP BY kind
UNION ALL
SELECT 'owner', r.rolname, '', '', '', count(*)
FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
     JOIN pg_roles r ON r.oid = s.refobjid
     LEFT JOIN pg_class c ON s.classid = 'pg_class'::regclass AND c.oid = s.objid
     LEFT JOIN pg_proc p ON s.classid = 'pg_proc'::regclass AND p.oid = s.objid
     LEFT JOIN pg_type t ON s.classid = 'pg_type'::regclass AND t.oid = s.objid
     LEFT JOIN pg_namespace n ON n.oid = coalesce(c.relnamespace, p.pronamespace, t.typnamespace)
WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND s.classid NOT IN (
  'pg_default_acl'::regclass, 'pg_user_mapping'::regclass, 'pg_largeobject'::regclass)
  AND coalesce(n.nspname !~ '^pg_', true) -- who does not own the database has temporary ones
GROUP BY r.rolname
UNION ALL
SELECT 'code', r.rolname, one, '', '', count(*)
FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner,
     unnest(CASE WHEN p.prosecdef THEN '{{function,definer}}'::text[] ELSE '{{function}}' END) one
WHERE NOT r.rolsuper GROUP BY r.rolname, one
UNION ALL
SELECT 'code', r.rolname, 'trigger', '', '', count(*)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_roles r ON r.oid = c.relowner
WHERE NOT t.tgisinternal AND NOT r.rolsuper GROUP BY r.rolname
UNION ALL
SELECT 'code', r.rolname, CASE WHEN c.relkind IN ('v', 'm') THEN 'view' ELSE 'rule' END,
       '', '', count(*)
FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class JOIN pg_roles r ON r.oid = c.relowner
WHERE NOT r.rolsuper GROUP BY 2, 3
UNION ALL
SELECT 'code', r.rolname, 'policy', '', '', count(*)
FROM pg_policy y JOIN pg_class c ON c.oid = y.polrelid JOIN pg_roles r ON r.oid = c.relowner
WHERE NOT r.rolsuper GROUP BY 2
UNION ALL
SELECT 'code', r.rolname, 'expression', '', '', count(*)
FROM (SELECT c.relowner, d.adbin::text FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid
      UNION ALL
      SELECT coalesce(c.relowner, t.typowner), k.conbin::text FROM pg_constraint k
      LEFT JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_type t ON t.oid = k.contypid
      UNION ALL
      SELECT c.relowner, concat(i.indexprs::text, i.indpred::text)
      FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
      UNION ALL
      SELECT typowner, typdefaultbin::text FROM pg_type) e (owner, tree)
     JOIN pg_roles r ON r.oid = e.owner
WHERE NOT r.rolsuper AND e.tree ~ (
  SELECT format(':funcid (%%s)\M', string_agg(oid::text, '|')) FROM pg_proc WHERE proname = ANY(%s))
GROUP BY 2
UNION ALL
SELECT 'granted', o.kind, coalesce(g.name, r.rolname),
       a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END, '', count(*)
FROM object o, aclexplode(o.acl) a LEFT JOIN grantee g ON g.oid = a.grantee
     LEFT JOIN pg_roles r ON a.is_grantable AND r.oid = a.grantee AND NOT r.rolsuper
WHERE a.grantee <> o.owner AND coalesce(g.oid, r.oid) IS NOT NULL GROUP BY 2, 3, 4
UNION ALL
SELECT 'refused', r.rolname, '', '', '', count(*)
FROM relation o JOIN pg_roles r ON r.oid = o.owner JOIN pg_roles me ON me.rolname = %s
WHERE o.ordinary AND NOT (
  has_schema_privilege(me.oid, o.place, 'USAGE') AND has_table_privilege(me.oid, o.oid, 'SELECT')
  AND has_table_privilege(me.oid, o.oid, 'INSERT') AND has_table_privilege(me.oid, o.oid, 'UPDATE')
  AND has_table_privilege(me.oid, o.oid, 'DELETE')) GROUP BY r.rolname
UNION ALL
SELECT 'default', f.rolname, g.name,
       a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END,
       d.defaclobjtype::text || coalesce(n.nspname, ''), 1
FROM pg_default_acl d JOIN pg_roles f ON f.oid = d.defaclrole
     LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace,
     aclexplode(d.defaclacl) a JOIN grantee g ON g.oid = a.grantee
WHERE a.grantee <> d.defaclrole AND d.defaclobjtype IN ('r', 'S', 'n')
