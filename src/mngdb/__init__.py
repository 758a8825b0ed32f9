"""mngdb: PostgreSQL, Redis and MongoDB for a team that has no DBA."""

__version__ = "0.1.0"
