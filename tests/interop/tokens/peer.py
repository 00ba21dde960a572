"""Tokens of others: CWTs by `cwt`, JWTs by PyJWT. Neither is ours.

    peer.py read  cwt|jwt PUBLIC.pem          token on stdin, claims as JSON on stdout
    peer.py write cwt|jwt PRIVATE.pem         claims as JSON on stdin, token on stdout

Claims have the numbers of CWTs or the names of JWTs; octets of CBOR are {"hex": ".."} in JSON.
"""

import json
import sys
from pathlib import Path

import cbor2
import cwt
import jwt


def plain(value):
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {str(key): plain(of) for key, of in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(of) for of in value]
    return value


def cbor(value):
    if isinstance(value, dict) and set(value) == {"hex"}:
        return bytes.fromhex(value["hex"])
    if isinstance(value, dict):
        return {key: cbor(of) for key, of in value.items()}
    if isinstance(value, list):
        return [cbor(of) for of in value]
    return value


def main():
    verb, form, path = sys.argv[1:]
    pem = Path(path).read_text()
    octets = sys.stdin.buffer.read()
    if (verb, form) == ("read", "cwt"):
        # `cwt.decode` wants a key identifier, which a reader who knows the key has no use for.
        cose = cwt.COSE.new(verify_kid=False)
        claims = cbor2.loads(cose.decode(octets, keys=[cwt.COSEKey.from_pem(pem)]))
        cwt.Claims.validate(claims)
        print(json.dumps(plain(claims)))
    elif (verb, form) == ("read", "jwt"):
        claims = jwt.decode(octets.decode(), pem, algorithms=["ES256", "ES384"])
        print(json.dumps(claims))
    elif (verb, form) == ("write", "cwt"):
        claims = {int(key): cbor(of) for key, of in json.loads(octets).items()}
        key = cwt.COSEKey.from_pem(pem, kid="device")
        sys.stdout.buffer.write(cwt.encode(claims, key))
    elif (verb, form) == ("write", "jwt"):
        curve = {256: "ES256", 384: "ES384"}
        key = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).prepare_key(pem)
        print(jwt.encode(json.loads(octets), key, algorithm=curve[key.curve.key_size]), end="")
    else:
        raise SystemExit(__doc__)


main()
