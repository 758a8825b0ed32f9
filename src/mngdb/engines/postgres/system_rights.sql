    SELECT o.owner, a.grantee, a.grantor, a.privilege_type || o.columns AS privilege,
           a.is_grantable, false AS option,
           CASE o.class
             WHEN 'pg_class'::regclass THEN 'TABLE ' || o.oid::regclass
             WHEN 'pg_proc'::regclass THEN 'FUNCTION ' || o.oid::regprocedure
             WHEN 'pg_namespace'::regclass THEN 'SCHEMA ' || o.oid::regnamespace
             WHEN 'pg_language'::regclass THEN format('LANGUAGE %I', o.name)
             ELSE 'TYPE ' || o.oid::regtype
           END AS target
    FROM (
      SELECT e.*, i.initprivs FROM (
        SELECT 'pg_class'::regclass AS class, c.oid, 0 AS sub, c.relowner AS owner,
               c.relacl AS acl, 'r'::"char" AS kind, c.relnamespace AS place, c.relname AS name,
               '' AS columns
        FROM pg_class c WHERE c.oid < {initial} AND c.relkind IN ('r', 'v')
        UNION ALL
        SELECT 'pg_class'::regclass, c.oid, t.attnum, c.relowner, t.attacl, 'c', c.relnamespace,
               c.relname, format(' (%I)', t.attname)
        FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid
        WHERE t.attrelid < {initial} AND t.attacl IS NOT NULL
        UNION ALL
        SELECT 'pg_proc'::regclass, p.oid, 0, p.proowner, p.proacl, 'f', 0, '', ''
        FROM pg_proc p WHERE p.oid < {initial} AND (p.proacl IS NOT NULL OR p.oid IN
          (SELECT objoid FROM pg_init_privs WHERE classoid = 'pg_proc'::regclass)){members}
        UNION ALL
        SELECT 'pg_namespace'::regclass, n.oid, 0, n.nspowner, n.nspacl, 'n', n.oid, n.nspname, ''
        FROM pg_namespace n WHERE n.oid < {initial} AND n.nspname <> 'public'
        UNION ALL
        SELECT 'pg_language'::regclass, l.oid, 0, l.lanowner, l.lanacl, 'l', 0, l.lanname, ''
        FROM pg_language l WHERE l.oid < {initial}
        UNION ALL
        SELECT 'pg_type'::regclass, t.oid, 0, t.typowner, t.typacl, 'T', 0, '', ''
        FROM pg_type t WHERE t.oid < {initial} AND t.typacl IS NOT NULL
      ) e
      LEFT JOIN pg_init_privs i ON i.objoid = e.oid AND i.classoid = e.class
        AND i.objsubid = e.sub
      WHERE e.acl IS DISTINCT FROM i.initprivs OFFSET 0
    ) o, aclexplode(coalesce(o.acl, acldefault(o.kind, o.owner))) a
    WHERE a.grantee <> o.owner
      AND NOT EXISTS (
        SELECT FROM aclexplode(coalesce(o.initprivs, acldefault(o.kind, o.owner))) was
        WHERE was.privilege_type = a.privilege_type AND was.grantee IN (0, a.grantee)
          AND (was.is_grantable OR NOT a.is_grantable))
      AND NOT (o.place = (SELECT oid FROM pg_namespace WHERE nspname = 'information_schema')
        AND left(o.name, 1) <> '_' AND a.privilege_type IN ('SELECT', 'USAGE')
        AND NOT a.is_grantable)
