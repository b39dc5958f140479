"""Signing keys: Ed25519, one file for the secret half (readable by its owner only) and one for the public half; envelopes by DSSE."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from rai_pipelines.errors import KeyProblem
from rai_pipelines.evidence.canonical import canonical_json

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, Key

STATEMENT_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
SECRET_SUFFIX, PUBLIC_SUFFIX = ".key", ".pub.json"
OTHERS = 0o077


def make_key(folder: Path, name: str) -> str:
    """A new key pair `NAME.key` and `NAME.pub.json` in `folder`; returns the key's id.

    Raises:
        KeyProblem: there is such a key already: a key that signed something is never overwritten.
    """
    from securesystemslib.signer import CryptoSigner

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret, public = folder / f"{name}{SECRET_SUFFIX}", folder / f"{name}{PUBLIC_SUFFIX}"
    signer = CryptoSigner.generate_ed25519()
    try:
        handle = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeyProblem("exists already", where=secret.name, hint="Choose another name, or retire the key first") from error
    with os.fdopen(handle, "wb") as stream:
        stream.write(signer.private_bytes)
    public.write_text(json.dumps({"keyid": signer.public_key.keyid, **signer.public_key.to_dict()}, indent=1, sort_keys=True), encoding="utf-8")
    return str(signer.public_key.keyid)


def load_signer(secret: Path) -> CryptoSigner:
    """The signer of a secret key file whose public half lies beside it.

    Raises:
        KeyProblem: a half is absent or unreadable, they do not belong together, or others may read the secret.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    public = read_public_key(secret.with_name(secret.name.removesuffix(SECRET_SUFFIX) + PUBLIC_SUFFIX))
    try:
        if secret.stat().st_mode & OTHERS:
            raise KeyProblem("can be read by other users", where=secret.name, hint=f"Run: chmod 600 {secret.name}")
        private: Any = load_pem_private_key(secret.read_bytes(), password=None)
        signer = CryptoSigner(private)
    except (OSError, ValueError, TypeError) as error:
        raise KeyProblem("is no signing key that can be read", where=secret.name, hint="Make one with: rai keys init") from error
    if signer.public_key.keyid != public.keyid:
        raise KeyProblem("does not belong to the public key beside it", where=secret.name, hint="Restore the pair, or make a new one")
    return signer


def read_public_key(path: Path) -> Key:
    """The public key in a `NAME.pub.json` file.

    Raises:
        KeyProblem: absent, unreadable, or not Ed25519.
    """
    try:
        return public_key_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise KeyProblem("is no public key that can be read", where=path.name, hint="Make one with: rai keys init") from error


def read_public_keys(folder: Path) -> dict[str, Key]:
    """Every public key in `folder` by its id; none where there is no folder.

    Raises:
        KeyProblem: a file is unreadable or stands under another key's id.
    """
    found = [read_public_key(path) for path in sorted(folder.glob(f"*{PUBLIC_SUFFIX}"))]
    return {str(key.keyid): key for key in found}


def public_key_of(content: Mapping[str, Any]) -> Key:
    """The key in its written form; its id is computed anew, so that a file cannot claim another's.

    Raises:
        KeyProblem: malformed, not Ed25519, or under a wrong id.
    """
    from securesystemslib.signer import SSlibKey

    try:
        given = dict(content)
        keyid = str(given.pop("keyid"))
        if (given["keytype"], given["scheme"]) != ("ed25519", "ed25519"):
            raise KeyProblem(f"is of type {given['keytype']!r}, not ed25519", where=f"key {keyid[:16]}")
        key = SSlibKey.from_dict(keyid, given)
        own = SSlibKey.from_crypto(_crypto_key(key)).keyid
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KeyProblem("is no public key", where="key", hint="Make one with: rai keys init") from error
    if own != keyid:
        raise KeyProblem("stands under the id of another key", where=f"key {keyid[:16]}", hint="Ask its owner for the public key again")
    return key


def _crypto_key(key: Any) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval["public"]))


def sign_statement(subjects: Mapping[str, str], predicate_type: str, predicate: Mapping[str, JsonValue], signer: CryptoSigner) -> dict[str, Any]:
    """An in-toto statement about `subjects` (name to SHA-256 in hex) in a signed DSSE envelope, as JSON."""
    from securesystemslib.dsse import Envelope

    statement = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(subjects.items())],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }
    envelope = Envelope(canonical_json(statement), STATEMENT_TYPE, {})
    envelope.sign(signer)
    made: dict[str, Any] = envelope.to_dict()
    return made


def open_statement(
    envelope: Mapping[str, Any], keys: Sequence[Key], predicate_type: str, *, threshold: int = 1
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The statement in a signed envelope, and the ids of the keys whose signatures hold.

    Raises:
        KeyProblem: it is malformed, of another type, or not signed by enough of `keys`.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError

    try:
        opened = Envelope.from_dict({**envelope, "signatures": [dict(item) for item in envelope["signatures"]]})
        if opened.payload_type != STATEMENT_TYPE:
            raise KeyProblem(f"holds {opened.payload_type!r}, not a statement", where="signed envelope")
        if opened.to_dict()["payload"] != envelope["payload"]:  # Base64 can be written in several ways, and decisions are told apart by theirs
            raise KeyProblem("writes what was signed in another way than signers do", where="signed envelope", hint="Treat it as forged")
        accepted = opened.verify(list(keys), threshold)
        statement: dict[str, Any] = dict(json.loads(opened.payload).items())
    except VerificationError as error:
        raise KeyProblem("is not signed by a key that is trusted", where="signed envelope", hint="Check the keys, or treat it as forged") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise KeyProblem("is malformed", where="signed envelope", hint="Treat it as forged") from error
    if statement.get("_type") != STATEMENT or statement.get("predicateType") != predicate_type:
        raise KeyProblem(f"is a statement of another kind ({statement.get('predicateType')!r})", where="signed envelope")
    return statement, tuple(sorted(accepted))
