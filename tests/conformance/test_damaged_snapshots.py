"""Snapshots that were damaged, forged or written by another version: told, and not read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from mngdb.errors import UsageError
from mngdb.stores import Store
from mngdb.stores.catalog import ROOT, Catalog
from mngdb.stores.directory import DirectoryStore
from mngdb.stores.manifest import FORMAT, decode, encode
from mngdb.stores.sealing import (
    Opener,
    UnreadableError,
    digest,
)
from mngdb.stores.signing import Signer, UnsignedError, make_secret
from tests.conformance.snapshots import CONTENT, KEY, SIGNER, made, nothing

Harm = Callable[[Store, list[str]], None]


def _flip(at: float) -> Harm:
    def harm(store: Store, keys: list[str]) -> None:
        for key in keys:
            found = bytearray(store.get(key))
            found[min(int(len(found) * at), len(found) - 1)] ^= 1
            store.put(key, bytes(found))

    return harm


def _cut(share: float) -> Harm:
    def harm(store: Store, keys: list[str]) -> None:
        for key in keys:
            found = store.get(key)
            store.put(key, found[: int(len(found) * share)])

    return harm


def _remove(store: Store, keys: list[str]) -> None:
    store.delete(keys)


def _swap(store: Store, keys: list[str]) -> None:
    first, last = store.get(keys[0]), store.get(keys[-1])
    store.put(keys[0], last)
    store.put(keys[-1], first)


def _append(store: Store, keys: list[str]) -> None:
    for key in keys:
        store.put(key, store.get(key) + b"\0")


HARMS = {
    **{f"one bit at {at:.0%}": _flip(at) for at in (0, 0.01, 0.1, 0.5, 0.9, 1)},
    **{f"cut to {share:.0%}": _cut(share) for share in (0, 0.001, 0.5, 0.99)},
    "removed": _remove,
    "swapped": _swap,
    "longer": _append,
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("which", ["first", "middle", "last"])
def test_damage_of_a_part_is_found_by_verify_and_by_reading(
    tmp_path: Path, harm: str, which: str
) -> None:
    store = DirectoryStore(tmp_path / "store")
    catalog = Catalog(store, "stack", SIGNER)
    manifest = made(catalog, {"base": CONTENT["base.tar"]})
    parts = sorted(one.key for one in store.entries(ROOT) if one.key.endswith(".age"))
    one = {"first": parts[0], "middle": parts[4], "last": parts[-1]}[which]
    HARMS[harm](store, [one, parts[2]] if harm == "swapped" else [one])
    for opener in (None, Opener([KEY])):
        found = catalog.verify(manifest, opener, nothing)
        assert any(one in damage.text for damage in found)
    with pytest.raises(UnreadableError, match="base"):
        list(catalog.read(Opener([KEY]), manifest, "base", nothing))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("harm", [name for name in HARMS if name not in {"removed", "swapped"}])
def test_damage_of_a_manifest_is_told_and_hides_no_other_snapshot(
    tmp_path: Path, harm: str
) -> None:
    store = DirectoryStore(tmp_path / "store")
    catalog = Catalog(store, "stack", SIGNER)
    good, bad = made(catalog, {"base": b"1"}), made(catalog, {"base": b"2"})
    key = f"{catalog.prefix('pg', bad.id)}/manifest.json"
    HARMS[harm](store, [key])
    found, damages = catalog.snapshots("pg")
    assert good in found
    if harm != "longer":
        assert [one.snapshot for one in damages] == [bad.id]
    with pytest.raises(UsageError, match="no snapshot"):
        catalog.manifest("pg", "20261129T000000Z-000000")


def test_what_others_wrote_is_no_snapshot_of_the_stack(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    ours, theirs = Catalog(store, "stack", SIGNER), Catalog(store, "stack", Signer(make_secret()))
    good, forged = made(ours, {"base": b"1"}), made(theirs, {"base": b"2"})
    copied = f"{ours.prefix('pg', '20990101T000000Z-000000')}/manifest.json"
    store.put(copied, store.get(f"{ours.prefix('pg', good.id)}/manifest.json"))
    stripped = made(ours, {"base": b"3"})
    key = f"{ours.prefix('pg', stripped.id)}/manifest.json"
    found = json.loads(store.get(key))
    text = json.dumps(found["manifest"], separators=(",", ":"))
    for head in ({}, {"hmac": "é"}, {"hmac": found["hmac"][:32]}, {"hmac": SIGNER.sign(b"")}):
        known = json.dumps({"sha256": digest(text.encode()), **head})[:-1]
        store.put(key, f'{known}, "manifest": {text}}}'.encode())
        counted, told = ours.snapshots("pg")
        assert counted == [good]
        assert {one.snapshot for one in told} == {forged.id, "20990101T000000Z-000000", stripped.id}
    with pytest.raises(UnsignedError, match="not written by this stack"):
        ours.manifest("pg", forged.id)
    with pytest.raises(UnsignedError, match="backup_mac is missing"):
        Catalog(store, "stack", None).manifest("pg", good.id)
    everything = Catalog(store, "stack", None, unsigned=True)
    assert {one.id for one in everything.snapshots("pg")[0]} == {good.id, forged.id, stripped.id}


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../x", "a//x", "", "x\0"])
def test_a_name_in_a_manifest_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    manifest = made(Catalog(DirectoryStore(tmp_path / "store"), "stack", SIGNER), {"base": b"1"})
    (stream,) = manifest.streams
    for other in (
        replace(manifest, id=name),
        replace(manifest, streams=(replace(stream, name=name),)),
    ):
        with pytest.raises(UnreadableError, match="leads elsewhere"):
            decode(encode(other, SIGNER), SIGNER)


def test_a_manifest_of_a_newer_version_is_refused_by_its_number(tmp_path: Path) -> None:
    manifest = made(Catalog(DirectoryStore(tmp_path / "store"), "stack", SIGNER), {})
    with pytest.raises(UnreadableError, match=f"format {FORMAT + 1}"):
        decode(encode(replace(manifest, format=FORMAT + 1), SIGNER), SIGNER)


def test_a_snapshot_of_the_first_format_is_read(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    catalog = Catalog(store, "stack", SIGNER)
    manifest = made(catalog, {"base": b"1"})
    key = f"{catalog.prefix('pg', manifest.id)}/manifest.json"
    found = json.loads(store.get(key))["manifest"]
    found["format"] = 1
    found["streams"][0]["sha256"] = digest(b"1")  # of the whole
    text = json.dumps(found, separators=(",", ":"))
    head = f'{{"sha256":"{digest(text.encode())}","hmac":"{SIGNER.sign(text.encode())}"'
    store.put(key, f'{head},"manifest":{text}}}\n'.encode())
    ((old,), damages) = catalog.snapshots("pg")
    assert (old.format, damages) == (1, [])
    assert b"".join(catalog.read(Opener([KEY]), old, "base", nothing)) == b"1"


def test_an_object_that_holds_something_else_is_found_with_the_key(tmp_path: Path) -> None:
    catalog = Catalog(DirectoryStore(tmp_path / "store"), "stack", SIGNER)
    manifest = made(catalog, {"base": b"1"})
    (stream,) = manifest.streams
    parts = tuple(replace(one, sha256=digest(b"2")) for one in stream.parts)
    other = replace(manifest, streams=(replace(stream, parts=parts),))
    assert catalog.verify(other, None, nothing) == []
    assert len(catalog.verify(other, Opener([KEY]), nothing)) == 1
