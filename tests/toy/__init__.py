"""A fourth engine, for the proof that one needs no more than a record, models and a package."""
