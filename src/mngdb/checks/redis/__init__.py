"""What has to be true of a Redis server: questions (YAML) and judgements, by area."""
