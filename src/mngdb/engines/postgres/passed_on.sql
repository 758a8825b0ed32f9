DECLARE g record;
BEGIN
  FOR g IN
    SELECT o.target, o.columns, b.rolname AS grantor, a.privilege_type,
           CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident('{app}') END AS whom
    FROM (
      SELECT 'SCHEMA ' || n.oid::regnamespace AS target, '' AS columns, n.nspowner AS owner,
             n.nspacl AS acl FROM pg_namespace n
      UNION ALL
      SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass, '',
             c.relowner, c.relacl FROM pg_class c WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
      UNION ALL
      SELECT 'TABLE ' || c.oid::regclass, format(' (%I)', t.attname), c.relowner, t.attacl
      FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid WHERE t.attacl IS NOT NULL
    ) o, aclexplode(o.acl) a JOIN pg_roles b ON b.oid = a.grantor
    WHERE a.grantor <> o.owner AND NOT b.rolsuper AND pg_has_role(b.oid, 'MEMBER')
      AND a.grantee = CASE '{app}' WHEN '' THEN 0
                      ELSE (SELECT oid FROM pg_roles WHERE rolname = '{app}') END
    ORDER BY a.is_grantable
  LOOP
    EXECUTE format('SET LOCAL ROLE %I', g.grantor);
    EXECUTE format('REVOKE %s%s ON %s FROM %s CASCADE', g.privilege_type, g.columns, g.target,
                   g.whom);
    SET LOCAL ROLE NONE;
  END LOOP;
END
