"""`mngdb keys`: the memory of Redis' keys, by pattern, from a live server or an RDB file."""
