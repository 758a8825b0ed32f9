"""Judges where a server's memory goes. Pure; the facts are `mngdb.facts.memory`."""
