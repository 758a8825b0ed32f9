DECLARE statement text; done int := 0;
BEGIN
  FOR statement IN
    WITH mine AS (SELECT oid FROM pg_roles WHERE rolname = {before}),
    place AS (SELECT oid, nspname, nspowner FROM pg_namespace
              WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'),
    thing AS (
      SELECT 'pg_namespace'::regclass AS class, p.oid, p.nspowner AS owner, 1 AS rank,
             format('SCHEMA %I', p.nspname) AS name FROM place p
      UNION ALL
      SELECT 'pg_class'::regclass, c.oid, c.relowner, 2,
             format('%s %I.%I', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE'
                                WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE'
                                WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, p.nspname, c.relname)
      FROM pg_class c JOIN place p ON p.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c', 'S')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                        AND d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
      UNION ALL
      SELECT 'pg_proc'::regclass, f.oid, f.proowner, 3, 'ROUTINE ' || f.oid::regprocedure
      FROM pg_proc f JOIN place p ON p.oid = f.pronamespace
      WHERE f.prokind <> 'a'
      UNION ALL
      SELECT 'pg_type'::regclass, t.oid, t.typowner, 3, format('TYPE %I.%I', p.nspname, t.typname)
      FROM pg_type t JOIN place p ON p.oid = t.typnamespace
      WHERE t.typtype IN ('d', 'e', 'r')
    )
    SELECT concat_ws('; ', format('ALTER %s OWNER TO %I', t.name, '{owner}'),
      CASE WHEN '{app}' <> '' AND t.rank = 1
           THEN format('GRANT USAGE ON %s TO %I', t.name, '{app}') END,
      (SELECT string_agg(format(CASE k.relkind WHEN 'S' THEN 'GRANT {sequence} ON SEQUENCE %s TO %I'
                                ELSE 'GRANT {table} ON TABLE %s TO %I' END,
                                k.oid::regclass, '{app}'), '; ')
       FROM pg_class k
       WHERE '{app}' <> '' AND k.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
         AND k.oid = ANY(ARRAY(SELECT t.oid WHERE t.class = 'pg_class'::regclass
           UNION ALL SELECT d.objid FROM pg_depend d -- sequences change hands with their table
           WHERE d.refclassid = t.class AND d.refobjid = t.oid AND d.deptype IN ('a', 'i')
             AND t.class = 'pg_class'::regclass AND d.classid = t.class))))
    FROM thing t JOIN mine ON mine.oid = t.owner
    WHERE t.rank {rank}
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = t.class AND d.objid = t.oid
                      AND d.deptype = 'e')
    ORDER BY t.rank, t.oid
  LOOP
    EXECUTE statement;
    done := done + 1;
    IF done % {portion} = 0 THEN COMMIT; END IF;
  END LOOP;
END
