"""What has to be true of a MongoDB server: questions (YAML) and judgements, by area."""
