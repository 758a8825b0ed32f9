"""A small Atlas for tests: its Admin API over HTTPS, with a real mongod behind each cluster.

`handle.py` starts it, as a process of its own. `gate.py` is what every request goes through; a
module for each kind of resource answers. Every request and every answer is held against Atlas'
specification (`contract.py`). Known differences from Atlas:

- a cluster is one server, whatever `nodeCount` says, of the version that is installed here;
- `standardSrv` and its like cannot be resolved; `standard` and the private ones lead to the server;
- the access list is kept, but refuses nobody;
- a point in time is reached by the oplog from the cluster's beginning, so always.
"""
