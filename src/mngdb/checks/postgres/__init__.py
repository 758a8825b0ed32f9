"""What has to be true of a PostgreSQL server: questions (YAML) and judgements, by area."""
