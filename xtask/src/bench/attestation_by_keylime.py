"""Keylime's check of one attestation, timed: the quote, and every IMA entry against a runtime policy.
Prints one JSON object. The boot log is left out: Keylime starts another program to read it.

What this is not: a judgement of Keylime. It does in Python what its verifier does for each device.
"""

import base64
import json
import logging
import os
import pathlib
import sys
import tempfile
import time
import types

logging.disable(logging.CRITICAL)
# Keylime reads its configuration on import; nothing in it matters for this.
os.environ.setdefault("KEYLIME_DIR", tempfile.mkdtemp(prefix="keylime-bench-"))
# It signs policies with GnuPG, whose module PyPI builds against a library; nothing is signed here.
sys.modules.setdefault("gpg", types.ModuleType("gpg"))

from keylime.agentstates import AgentAttestState  # noqa: E402
from keylime.common.algorithms import Hash  # noqa: E402
from keylime.mba import mba  # noqa: E402
from keylime.tpm.tpm_main import Tpm  # noqa: E402

mba.load_imports(skip_custom_policies=True)

lab, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
nonce, files = sys.argv[3], int(sys.argv[4])


def encoded(name):
    return base64.b64encode((lab / name).read_bytes()).decode()


digests = {}
for line in (lab / "sha256sums.txt").read_text().splitlines():
    digest, path = line.split("  ", 1)
    if len(digests) < files:
        digests[path] = [digest]
ima_list = (lab / "ascii_runtime_measurements").read_text()
# What no reference names would end the check early: it is excluded, so that every entry is judged.
known = set(digests)
for line in ima_list.splitlines():
    fields = line.split(" ")
    if fields[4] not in known:
        digests.setdefault(fields[4], [])
        digests[fields[4]].append(fields[3].split(":")[1])
policy = {
    "meta": {"version": 1},
    "release": 0,
    "digests": digests,
    "excludes": [],
    "keyrings": {},
    "ima": {"ignored_keyrings": [], "log_hash_alg": "sha1", "dm_policy": None},
    "ima-buf": {},
    "verification-keys": "",
}
quote = "r" + ":".join(encoded(f"ak.quote.{part}") for part in ("msg", "sig", "pcrs"))
times = []
for _ in range(rounds):
    state = AgentAttestState("bench")
    started = time.perf_counter()
    failure = Tpm().check_quote(
        state,
        nonce,
        None,
        quote,
        encoded("ak.pub"),
        {"mask": "0xffff"},
        ima_list,
        policy,
        Hash.SHA256,
        None,
        None,
        None,
        "accept-all",
        skip_clock_check=True,
        skip_data_pcr_check=True,
    )
    times.append(time.perf_counter() - started)
events = [event.event_id for event in failure.events]
print(json.dumps({"seconds": min(times), "files": len(digests), "failures": events}))
