#!/usr/bin/env python3
"""Credentials (TPM 2.0 Part 1 §24) computed without our code or any TPM's: by PyCA cryptography 48,
whose KDFs, ciphers and curves are OpenSSL's. `make.py >figures.txt` gives the same cases again, but for
those of RSA, whose keys are new.

Each case is lines of `name = hexadecimal`, and ends with an empty one:
ek, ek_private  the endorsement key: TPMT_PUBLIC, PKCS#8
object          the object that the credential is for: TPMT_PUBLIC of an HMAC key,
object_seed,    its seedValue and its key
object_key
name            its name
fresh_x, _y, z  the fresh point, and the x that it shares with the endorsement key (elliptic curves)
seed            what protects the credential, which goes to the endorsement key (RSA)
credential      what the credential holds
blob, secret    inside TPM2B_ID_OBJECT, inside TPM2B_ENCRYPTED_SECRET
"""

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

HASHES = {0x000B: hashes.SHA256(), 0x000C: hashes.SHA384(), 0x000D: hashes.SHA512()}
# Fixed to its TPM and parent, made in it, used with its value, restricted, decrypts.
ATTRIBUTES = 0x00030072


def sized(octets):
    return len(octets).to_bytes(2, "big") + octets


def kdfa(algorithm, key, label, context, bits):
    """Part 1 §11.4.9.2 is SP 800-108 in counter mode, its counter and length 32 bits each."""
    kdf = KBKDFHMAC(
        algorithm, Mode.CounterMode, bits // 8, 4, 4, CounterLocation.BeforeFixed, label, context, None
    )
    return kdf.derive(key)


def kdfe(algorithm, z, label, party_u, party_v):
    """Part 1 §11.4.9.3 is the one-step derivation of SP 800-56A."""
    info = label + b"\0" + party_u + party_v
    return ConcatKDFHash(algorithm, algorithm.digest_size, info).derive(z)


def credential(algorithm, key_bits, seed, name, secret):
    cipher_key = kdfa(algorithm, seed, b"STORAGE", name, key_bits)
    encryptor = Cipher(algorithms.AES(cipher_key), modes.CFB(bytes(16))).encryptor()
    identity = encryptor.update(sized(secret)) + encryptor.finalize()
    integrity_key = kdfa(algorithm, seed, b"INTEGRITY", b"", algorithm.digest_size * 8)
    mac = hmac.HMAC(integrity_key, algorithm)
    mac.update(identity + name)
    return sized(mac.finalize()) + identity


def public(kind, name_algorithm, key_bits, parameters):
    return (
        kind.to_bytes(2, "big")
        + name_algorithm.to_bytes(2, "big")
        + ATTRIBUTES.to_bytes(4, "big")
        + sized(b"")
        + bytes.fromhex("0006")
        + key_bits.to_bytes(2, "big")
        + bytes.fromhex("0043" + "0010")
        + parameters
    )


def hmac_key(name_algorithm):
    """An HMAC key, used with its value, that no wrong value locks; and its name."""
    algorithm = HASHES[name_algorithm]
    identifier = name_algorithm.to_bytes(2, "big")
    seed, key = counted(0x60, algorithm.digest_size), counted(0xA0, 32)
    unique = digest(algorithm, seed + key)
    native = bytes.fromhex("0008") + identifier + bytes.fromhex("00040440") + sized(b"")
    native += bytes.fromhex("0005000b") + sized(unique)
    figures = {"object": native, "object_seed": seed, "object_key": key}
    return figures | {"name": identifier + digest(algorithm, native)}


def digest(algorithm, octets):
    hasher = hashes.Hash(algorithm)
    hasher.update(octets)
    return hasher.finalize()


def pkcs8(key):
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def counted(start, length):
    return bytes((start + at) % 256 for at in range(length))


def show(**figures):
    for name, octets in figures.items():
        print(f"{name} = {octets.hex()}")
    print()


def elliptic(curve, curve_id, name_algorithm, key_bits, secret):
    algorithm = HASHES[name_algorithm]
    length = (curve.key_size + 7) // 8
    endorsement = ec.derive_private_key(0x1001 + curve_id, curve)
    ephemeral = ec.derive_private_key(0x2002 + curve_id, curve)
    point = endorsement.public_key().public_numbers()
    fresh = ephemeral.public_key().public_numbers()
    x, y, fresh_x, fresh_y = (
        number.to_bytes(length, "big") for number in (point.x, point.y, fresh.x, fresh.y)
    )
    z = ephemeral.exchange(ec.ECDH(), endorsement.public_key())
    seed = kdfe(algorithm, z, b"IDENTITY", fresh_x, x)
    held = hmac_key(0x000B)
    parameters = curve_id.to_bytes(2, "big") + bytes.fromhex("0010") + sized(x) + sized(y)
    show(
        ek=public(0x0023, name_algorithm, key_bits, parameters),
        ek_private=pkcs8(endorsement),
        **held,
        fresh_x=fresh_x,
        fresh_y=fresh_y,
        z=z,
        credential=secret,
        blob=credential(algorithm, key_bits, seed, held["name"], secret),
        secret=sized(fresh_x) + sized(fresh_y),
    )


def rsa_case(bits, name_algorithm, key_bits, secret):
    algorithm = HASHES[name_algorithm]
    endorsement = rsa.generate_private_key(65537, bits)
    modulus = endorsement.public_key().public_numbers().n.to_bytes(bits // 8, "big")
    seed = counted(0x80, algorithm.digest_size)
    held = hmac_key(0x000C)
    parameters = bits.to_bytes(2, "big") + bytes(4) + sized(modulus)
    oaep = padding.OAEP(padding.MGF1(algorithm), algorithm, b"IDENTITY\0")
    show(
        ek=public(0x0001, name_algorithm, key_bits, parameters),
        ek_private=pkcs8(endorsement),
        **held,
        seed=seed,
        credential=secret,
        blob=credential(algorithm, key_bits, seed, held["name"], secret),
        secret=endorsement.public_key().encrypt(seed, oaep),
    )


elliptic(ec.SECP256R1(), 3, 0x000B, 128, counted(1, 32))
elliptic(ec.SECP256R1(), 3, 0x000B, 128, b"\x07")
elliptic(ec.SECP384R1(), 4, 0x000C, 256, counted(2, 48))
elliptic(ec.SECP521R1(), 5, 0x000D, 256, counted(3, 20))
rsa_case(2048, 0x000B, 128, counted(4, 32))
rsa_case(3072, 0x000C, 256, counted(5, 33))
