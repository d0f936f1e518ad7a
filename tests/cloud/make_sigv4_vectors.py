"""Writes sigv4_vectors.json: requests of AWS's signing test suite with the signatures that botocore makes.

    python make_sigv4_vectors.py FOLDER > sigv4_vectors.json

FOLDER is tests/aws-signing-test-suite/v4 of https://github.com/awslabs/aws-c-auth (Apache License 2.0,
Copyright Amazon.com, Inc. or its affiliates). Taken from it: each case's request, credentials, time and
options. The signatures are computed here, by botocore's own canonical form, string to sign and key, and
compared with the suite's; a case where they differ would stop this script.
"""

import json
import pathlib
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def parse(text):
    head, _, body = text.partition("\n\n")
    lines = head.split("\n")
    method, rest = lines[0].split(" ", 1)
    target = rest.rsplit(" HTTP/1.1", 1)[0]
    fields = []
    for line in lines[1:]:
        if line.startswith(" "):  # a folded line: not legal in HTTP any more, taken as one
            fields[-1][1] += " " + line.strip()
        elif line:
            name, value = line.split(":", 1)
            fields.append([name, value])
    return method, target, fields, body


def canonical_hash(folder, kind):
    return (folder / f"{kind}-canonical-request.txt").read_text()


def sign(canonical, context):
    """botocore's key and signature over a canonical request."""
    credentials = context["credentials"]
    auth = SigV4Auth(Credentials(credentials["access_key_id"], credentials["secret_access_key"]),
                     context["service"], context["region"])
    request = AWSRequest()
    request.context["timestamp"] = context["timestamp"].replace("-", "").replace(":", "")
    return auth.signature(auth.string_to_sign(request, canonical), request)


def main(root):
    cases = []
    for folder in sorted(pathlib.Path(root).iterdir()):
        context = json.loads((folder / "context.json").read_text())
        method, target, fields, body = parse((folder / "request.txt").read_text())
        case = {"name": folder.name, "method": method, "target": target, "fields": fields, "body": body,
                "access_key": context["credentials"]["access_key_id"],
                "secret_key": context["credentials"]["secret_access_key"],
                "token": context["credentials"].get("token", ""),
                "omit_token": context.get("omit_session_token", False),
                "region": context["region"], "service": context["service"],
                "timestamp": context["timestamp"].replace("-", "").replace(":", ""),
                "normalize": context["normalize"], "sign_body": context["sign_body"],
                "expires": context["expiration_in_seconds"]}
        for kind in ("header", "query"):
            canonical = canonical_hash(folder, kind)
            signature = sign(canonical, context)
            theirs = (folder / f"{kind}-signature.txt").read_text().strip()
            assert signature == theirs, (folder.name, kind, signature, theirs)
            lines = canonical.split("\n")
            case[kind] = {"query": lines[2], "signed_headers": lines[-2], "payload": lines[-1],
                          "signature": signature}
        cases.append(case)
    json.dump(cases, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
