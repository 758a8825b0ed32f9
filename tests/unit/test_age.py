"""Files of pyrage, an implementation of age by others, are decrypted; what was changed is not."""

from __future__ import annotations

import os
import random

import pyrage
import pytest

from mngdb.secret import Secret
from mngdb.stores.age import DecryptError, Identity, decrypt
from mngdb.stores.sealing import make_key

CHUNK = 64 << 10
KEY, OTHER = make_key(), make_key()


def _public(key: Secret) -> object:
    return pyrage.x25519.Identity.from_str(key.reveal()).to_public()


def _sealed(data: bytes, *keys: Secret) -> bytes:
    return bytes(pyrage.encrypt(data, [_public(one) for one in keys or (KEY,)]))


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 17], ids=str
)
def test_any_size_comes_back(size: int) -> None:
    data = os.urandom(size)
    assert decrypt(_sealed(data), [Identity(KEY)]) == data


def test_any_key_comes_out_as_it_went_in() -> None:
    for _ in range(50):  # with zeros at either end of some
        key = make_key()
        assert decrypt(_sealed(b"content", key), [Identity(key)]) == b"content"


def test_one_recipient_of_several_is_enough_and_one_key_of_several() -> None:
    sealed = _sealed(b"content", make_key(), OTHER, make_key())
    assert decrypt(sealed, [Identity(KEY), Identity(OTHER)]) == b"content"


def test_another_key_is_told_from_damage() -> None:
    with pytest.raises(DecryptError, match="no key here matches"):
        decrypt(_sealed(b"content"), [Identity(OTHER)])
    with pytest.raises(DecryptError, match="no key here matches"):
        decrypt(_sealed(b"content"), [])


def test_whatever_bit_is_flipped_nothing_is_given_back() -> None:
    sealed = _sealed(os.urandom(CHUNK + 100), KEY, OTHER)
    header = sealed.index(b"\n---") + 50
    rnd = random.Random(1)
    for at in [*range(header), *(rnd.randrange(len(sealed)) for _ in range(200)), len(sealed) - 1]:
        damaged = bytearray(sealed)
        damaged[at] ^= 1 << rnd.randrange(8)
        with pytest.raises(DecryptError):
            decrypt(bytes(damaged), [Identity(KEY)])


@pytest.mark.parametrize("size", [0, 100, CHUNK, 3 * CHUNK])
def test_nothing_may_be_missing_or_added(size: int) -> None:
    sealed = _sealed(os.urandom(size))
    stored = sealed.index(b"\n", sealed.index(b"\n---") + 1) + 1 + 16
    ends = {*range(stored), *range(stored, len(sealed), CHUNK + 16), len(sealed) - 1}
    wrong = [*(sealed[:end] for end in ends), sealed + b"\0", sealed + bytes(16), sealed * 2]
    for one in wrong:
        with pytest.raises(DecryptError):
            decrypt(one, [Identity(KEY)])


def test_chunks_keep_their_order() -> None:
    sealed = _sealed(os.urandom(3 * CHUNK))
    begin = sealed.index(b"\n", sealed.index(b"\n---") + 1) + 1 + 16
    one, two, rest = (sealed[begin + n * (CHUNK + 16) :][: CHUNK + 16] for n in range(3))
    for order in (two + one + rest, one + rest, one + one + rest, rest + two + one):
        with pytest.raises(DecryptError):
            decrypt(sealed[:begin] + order, [Identity(KEY)])
