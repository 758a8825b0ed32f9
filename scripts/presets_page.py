"""docs/presets.md: what `for:` gives an app in Redis."""

from __future__ import annotations

from mngdb.spec.presets import presets

HEAD = """# Software that uses Redis

An app says what software it is, and gets the keys, channels, patterns of PSUBSCRIBE, commands and
server settings that this software needs:

```yaml
redis: {}
instances:
  jobs: {engine: redis, port: 6380}
apps:
  shop:   {redis: {keys: "shop:*", for: celery}}
  site:   {for: [django, channels_redis], redis: "site:*"}
  worker: {jobs: {for: sidekiq}}
```

The first of `keys` is the prefix; the software has to be told of it, as the sections below say.
`for` beside the instances of an app is the same as `for` under its only Redis. `keys`,
`channels`, `patterns` and `commands` add to what the software gets. `mngdb render preset NAME`
prints a section, `mngdb config` what each app gets in the end.

- **Two apps of one kind** on one instance each need a prefix. Where the software has none, `plan`
  says that they share one, or the file is refused because the software needs an instance of its
  own.
- **Sessions**: names of keys are no secret on one instance (SCAN lists them), and some libraries
  name keys after the session IDs in their cookies. `plan` says it where such an app has neighbours.
- **Eviction**: where the file does not write `eviction`, an instance of mngdb's gets the policy
  that its software needs, and keeps it, with a note in `plan`, when the app or its `for` leaves the
  file: its keys stay. Software that must not lose keys and a cache that never expires them are
  refused on one instance. `plan` says where the file's policy does not fit the software.
- **External servers** keep their settings, but for what the file names; `plan` says which of them
  do not fit the software.
- **Commands that harm other apps** (FLUSHDB, KEYS, CLIENT LIST) are given only on an instance of
  mngdb's that the app has to itself. FLUSHDB is not given where jobs or sessions are there, too.
- **PSUBSCRIBE** is compared letter by letter: a login may use a pattern only if that very text is
  in its ACL. `channels: ["chat:*"]` permits `SUBSCRIBE chat:room:1` and PSUBSCRIBE of `chat:*`,
  `chat:*:*` and `chat:*:*:*` (likewise with `.` and `/`), and not `PSUBSCRIBE chat:room:*`; that
  needs `patterns: ["chat:room:*"]`. No rule permits all patterns below a prefix but `"*"`, which is
  every channel. `doctor APP` tells a pattern that was refused, with the line that permits it.
- **Hash tags** are written as they are: `keys: "{shop}:*"`.
"""


def presets_page() -> str:
    """The page."""
    text = HEAD
    for name, preset in presets().items():
        title, *lines = preset.lines(name, "APP:")
        text += f"\n## {name}\n\n{title}.\n\n```\n" + "\n".join(lines).strip() + "\n```\n"
    return text
