"""The process that runs on beside the servers: metrics, restarts, logs; later schedule and console.

Servers are daemons of their own. The agent finds them by their pid files, starts again what died,
and its own end stops nobody.

What it runs as. For an ordinary user: as that user, like the servers. As root it stays root: only
root may start a server under the servers' account again and read the vault. It listens on loopback
by default, takes GET of a handful of fixed paths and reads no body. It logs in to each server as
`monitor`, never as the administrator.
"""
