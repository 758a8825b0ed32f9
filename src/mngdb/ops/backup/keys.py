"""The two secrets of a stack's backups: the private key, and what signs. Each is made once. Where
there are backups, one that is gone or another one is told and refused: what was written with the
one of before is worth nothing without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from mngdb import disk
from mngdb.errors import MngdbError, SecretError, UsageError
from mngdb.lock import lock
from mngdb.ops.backup import place, schedule
from mngdb.ops.backup.sources import KEY, MAC, origins
from mngdb.ops.context import Context
from mngdb.secret import Secret
from mngdb.stores.sealing import Sealer, fingerprint, make_key, recipient
from mngdb.stores.signing import Signer, make_secret

#: In the stack's own folder: the fingerprint of what signs.
_SIGNER = "backup-signer"
#: Seconds that another command may take to make a secret.
_PATIENCE = 30.0
_KIT = "which the kit holds (mngdb backup kit --open KIT)"
_ANEW = "If it is lost for good: mngdb backup --new-key"


class Problem(Struct, frozen=True):
    """What is wrong with a secret of the backups, and what to do about it."""

    secret: str
    text: str
    hint: str


def claim(context: Context) -> None:
    """Before anything is written: have what signs it, and know the store's directory again. Raises
    StoreError, SecretError, OSError, and UsageError where the secret is not the one of before."""
    make_signer(context)
    place.mark(context)


def sealer(context: Context) -> Sealer:
    """Encrypts for the file's recipients, else for the vault's key, which is made for the first
    snapshot. Raises SecretError, StoreError, and UsageError where the key of others is missing."""
    return Sealer(place.recipients(context) or _made(context))


def make_signer(context: Context) -> None:
    """Have the secret that signs snapshots and the log: made where nothing is signed yet. Raises
    SecretError, StoreError, OSError, and UsageError where it is not the one of before."""
    secret = context.vault.get(MAC)
    if secret is not None and Signer(secret).fingerprint == _noted(context):
        return
    with _alone(context):
        wrong = _refusal(context)
        if wrong is not None:
            raise wrong
        _sign_from_now(context)


def begin_anew(context: Context) -> None:
    """Make a key in the place of one that is lost, and go on with another secret that signs: with
    the one that is here, or else one that is made. Raises SecretError, StoreError, OSError, and
    UsageError where nothing is lost, or the file names other keys."""
    sealed, signed = bool(place.recipients(context)), _refusal(context) is None
    if sealed and signed:
        raise UsageError(
            "there is a key of the backups already",
            f"--new-key is for one that is lost; 'mngdb secret set {KEY}' sets another one, and "
            "keeps the one before",
        )
    if not sealed:
        _made(context, anew=True)
    if not signed:
        with _alone(context):
            _sign_from_now(context)


def accept_signer(context: Context, secret: Secret) -> None:
    """Note that backups are signed with it from now on. Raises UsageError, OSError."""
    disk.write(context.stack.state / _SIGNER, Signer(secret).fingerprint + "\n")


def signs(context: Context) -> str:
    """The fingerprint of what signs; empty where that is not the one of before. Raises SecretError,
    UsageError."""
    secret = context.vault.get(MAC)
    found = Signer(secret).fingerprint if secret is not None else ""
    return found if found == _noted(context) else ""


def problems(context: Context) -> list[Problem]:
    """What is wrong with both, by what this machine has noted: the store is not asked. Raises
    OSError."""
    found = (_of_key(context), _of_signer(context))
    return [one for one in found if one is not None]


def fits_none(context: Context, name: str) -> str:
    """Of a secret that was brought: that no snapshot is encrypted for it, or signed with it, in
    words; empty: one is, or there is none. Raises SecretError, UsageError."""
    given = context.vault.get(name)
    if given is None:
        return ""
    places = []
    try:
        for one in (place.catalog(context), *place.inherited(context)):
            fits = one.trusted() if name == MAC else one.sealed_for(recipient(given))
            if fits:
                return ""
            places += [one.store.place] if fits is False else []
    except MngdbError as error:
        return f"nobody knows whether it fits the snapshots: {error.message}"
    does = "is signed with" if name == MAC else "can be read with"
    return f"no snapshot in {' or '.join(places)} {does} it" if places else ""


def _made(context: Context, *, anew: bool = False) -> Sequence[str]:
    """The public key of one that is made now. With `anew`, though there are snapshots already."""
    # two that each made one would write what only one of the keys reads
    with _alone(context):
        if not place.recipients(context):
            if not anew:
                _require_none(context)
            context.vault.check_writable([KEY])
            context.vault.put({KEY: make_key()})
        return place.recipients(context)


def _require_none(context: Context) -> None:
    """Raise UsageError where there are snapshots, which another key opens."""
    for one in (place.catalog(context), *place.inherited(context)):
        newest = one.newest_key()
        if newest is not None:
            raise UsageError(
                f"the private key of the backups is missing ({context.vault.where(KEY)}), and "
                f"{one.store.place} has snapshots that only it opens",
                f"put it back: mngdb secret set {KEY}, with the private key of {newest}, {_KIT}. "
                f"{_ANEW} makes another one, and nobody can read the older snapshots",
            )


def _refusal(context: Context) -> UsageError | None:
    """Why nothing may be signed: the secret is not the one of before. Raises SecretError,
    StoreError, OSError."""
    secret, noted = context.vault.get(MAC), _noted(context)
    if noted:
        fits = secret is not None and Signer(secret).fingerprint == noted
        return None if fits else _unsigned(context, "what this machine has stored")
    every = [place.catalog(context)]
    if secret is None:  # what is read alone may be away, and keeps nobody from signing
        every += place.inherited(context)
    other = next((one.store.place for one in every if one.trusted() is False), None)
    return _unsigned(context, f"what is in {other}") if other is not None else None


def _unsigned(context: Context, what: str) -> UsageError:
    problem = _signer_lost(context, what)
    return UsageError(problem.text, problem.hint)


def _signer_lost(context: Context, what: str) -> Problem:
    gone = "is missing" if context.vault.get(MAC) is None else "was replaced"
    text = f"the secret that signs backups {gone} ({context.vault.where(MAC)}): {what} is signed "
    return Problem(
        MAC,
        f"{text}with the one before",
        f"put it back: mngdb secret set {MAC}, {_KIT}. {_ANEW} continues with a new one, and "
        "the older snapshots are restored with --unsigned alone",
    )


def _sign_from_now(context: Context) -> None:
    """With the secret of the vault, which is made where there is none."""
    if context.vault.get(MAC) is None:
        try:
            context.vault.check_writable([MAC])
        except SecretError as error:
            error.hint = f"{error.hint}; it signs backups: openssl rand -hex 32 makes one"
            raise
        context.vault.put({MAC: make_secret()})
    secret = context.vault.get(MAC)
    assert secret is not None  # noqa: S101 — for mypy
    accept_signer(context, secret)


@contextmanager
def _alone(context: Context) -> Iterator[None]:
    """While no other command makes a secret. Raises LockedError."""
    with lock(context.stack.state / "backup-key.lock", "backup", _PATIENCE):
        context.vault.forget()
        yield


def _noted(context: Context) -> str:
    """The fingerprint of what signed last; empty: nothing has been signed here."""
    return (disk.read_own(context.stack.state / _SIGNER) or "").strip()


def _of_signer(context: Context) -> Problem | None:
    noted = _noted(context)
    try:
        if noted and signs(context) != noted:
            return _signer_lost(context, "what this machine has stored")
    except MngdbError as error:
        return Problem(MAC, error.message, error.hint or "")
    return None


def _of_key(context: Context) -> Problem | None:
    """With recipients in the file, the key need not be here."""
    taken = {
        name: run
        for name, run in schedule.runs(context).items()
        if run.done and not context.instance(name).hosted
    }
    try:
        key = context.vault.get(KEY)
        public = recipient(key) if key is not None else ""
    except MngdbError as error:
        return Problem(KEY, error.message, error.hint or "")
    if place.wanted(context).recipients or not (taken or origins(context.stack.state).sources):
        return None
    where, lost = context.vault.where(KEY), f"put it back: mngdb secret set {KEY}, {_KIT}"
    if not public:
        text = f"the private key of the backups is missing ({where}): nobody can restore them"
        return Problem(KEY, text, f"{lost}. {_ANEW} makes another one")
    others = [n for n, run in taken.items() if run.keys not in {"", fingerprint([public])}]
    if not others:
        return None
    text = f"the private key of the backups ({where}) does not open the newest snapshot of "
    return Problem(
        KEY, text + ", ".join(others), f"{lost}. If it was changed on purpose: mngdb backup"
    )
