"""Runs the code that the documents show against the sandbox gateway. Whatever does not do what it should ends this with 1.

docs/receiving.md: a block behind `<!-- ci:receiver LANGUAGE PACKAGE… -->` is taken as it stands, is started with a port and
the secret of an endpoint of its own, must accept deliveries of the gateway, and must refuse one whose body was changed. Then
the same with the library of Svix in the place of the official one.

docs/recipes: a block behind `<!-- ci:HOST javascript -->` is run as that host would run it, by step.mjs.

Everywhere: calls of curl to the address of the sandbox gateway must be answered with success.
"""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

API = "http://127.0.0.1:8080/v1"
KEY = "sandbox-key-for-local-use-only"
WANTED = 2
PATIENCE_SECONDS = 120
BODY = b'{"type": "certificate.active", "data": {"object": {"id": "cert_1"}}, "detection": {"mode": "live"}}'
CHANGED = BODY.replace(b"active", b"expired")
SECRET = "whsec_dGhpcnR5LXR3byBsZXR0ZXJzIHRvIHNpZ24gd2l0aCE="
SVIX = {"standardwebhooks.webhooks": "svix.webhooks", '"standardwebhooks"': '"svix"'}


def call(method, path, body=None):
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(API + path, data, headers, method=method)) as answer:
        return json.load(answer)


def blocks(path):
    """What is marked as what, and the words and the text of every marked block of a document."""
    document = pathlib.Path(path).read_text()
    marked = r"^<!-- ci:(\w+) ([\w ]+) -->\n```\w+\n(.*?)^```$"
    found = re.findall(marked, document, re.MULTILINE | re.DOTALL)
    if not found or len(found) != document.count("<!-- ci:"):
        sys.exit(f"{path}: no marker, or one without a block behind it")
    return [(mark, words.split(), text) for mark, words, text in found]


def install(folder, wanted):
    """The packages of all blocks, and Svix, in an environment of their own; gives how to run each language."""
    run = {}
    if "python" in wanted:
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        pip = [folder / "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *sorted(wanted["python"]), "svix"], check=True)
        run["python"] = (folder / "venv/bin/python", "receiver.py")
    if "javascript" in wanted:
        (folder / "package.json").write_text('{"private": true}')
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund"]
        subprocess.run([*npm, *sorted(wanted["javascript"]), "svix"], cwd=folder, check=True)
        run["javascript"] = ("node", "receiver.mjs")
    return run


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def signed(secret, body):
    """The headers of a delivery of that body."""
    stamp = str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"evt_by_hand.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1,c29tZSBvdGhlciBrZXk= v1," + base64.b64encode(mac).decode()
    return {"webhook-id": "evt_by_hand", "webhook-timestamp": stamp, "webhook-signature": signature}


def post(url, headers, body):
    """The status that a delivery is answered with."""
    try:
        headers = dict(headers, **{"content-type": "application/json"})
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def prove(folder, command, text):
    """Runs one receiver until it has taken what it must, and has refused what it must."""
    interpreter, name = command
    (folder / name).write_text(text)
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    endpoint = call("POST", "/endpoints", {"url": url})
    environment = dict(os.environ, PORT=str(port), WEBHOOK_SECRET=endpoint["secret"])
    with open(folder / "output", "wb") as output:
        receiver = subprocess.Popen([interpreter, name], cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        verified = []
        while len(verified) < WANTED:
            if receiver.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"it does not verify: {(folder / 'output').read_text()}")
            time.sleep(0.2)
            verified = re.findall(r"^verified (evt_\w+)$", (folder / "output").read_text(), re.MULTILINE)
        listed = f"/deliveries?endpoint_id={endpoint['id']}&status=delivered&limit=100"
        while verified[0] not in {delivery["event_id"] for delivery in call("GET", listed)["data"]}:
            if time.monotonic() > deadline:
                sys.exit(f"the gateway does not know that {verified[0]} was taken")
            time.sleep(0.2)
        if post(url, signed(endpoint["secret"], BODY), BODY) != 204:
            sys.exit("it refuses what is signed well")
        if post(url, signed(endpoint["secret"], BODY), CHANGED) != 401:
            sys.exit("it accepts a body that was changed")
    finally:
        receiver.terminate()
        receiver.wait()
        call("DELETE", f"/endpoints/{endpoint['id']}")


def step(folder, host, text, given):
    """What comes out of a code step; None if it fails."""
    (folder / "step.js").write_text(text)
    command = ["node", ".ci/step.mjs", host, folder / "step.js", json.dumps(given)]
    environment = dict(os.environ, CERTHOOK_URL=API.removesuffix("/v1"), CERTHOOK_API_KEY=KEY)
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    return json.loads(ended.stdout) if ended.returncode == 0 else None


def given(body):
    """A delivery as workflows see it, which was signed with another body unless this is the one."""
    headers = signed(SECRET, BODY)
    named = {name: headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature")}
    return dict(named, body=body.decode(), secret=SECRET)


def prove_hubspot(folder, text):
    """It must say of buyers what the gateway says, of those who are exempt and of those who are not."""
    seen = set()
    for certificate in call("GET", "/certificates?limit=100")["data"]:
        customer = certificate["customer"]["reference_customer_id"]
        for entry in certificate["jurisdictions"] if customer else []:
            asked = {"tax_customer_id": customer, "state": entry["jurisdiction_id"]}
            query = f"customer_id={customer}&id_type=reference_customer_id&jurisdiction={asked['state']}"
            truth = call("GET", f"/exemptions?{query}")
            if truth["exempt"] not in seen:
                seen.add(truth["exempt"])
                if step(folder, "hubspot", text, asked) != {name: truth[name] for name in ("exempt", "valid_until")}:
                    sys.exit(f"the step for HubSpot does not say what the gateway says of {asked}")
    if seen != {True, False}:
        sys.exit("nobody was found who is exempt, or nobody who is not")


def prove_zapier(folder, text):
    if (step(folder, "zapier", text, given(BODY)) or {}).get("certificate") != "cert_1":
        sys.exit("the step for Zapier refuses what is signed well")
    if step(folder, "zapier", text, given(CHANGED)) is not None:
        sys.exit("the step for Zapier accepts a body that was changed")


def prove_n8n(folder, text):
    for body in (BODY, CHANGED):
        event = json.loads(body) if body == BODY else None
        expected = {"verified": body == BODY, "id": "evt_by_hand", "event": event}
        if step(folder, "n8n", text, given(body)) != [{"json": expected}]:
            sys.exit(f"the step for n8n is wrong about {body}")


def prove_calls(path):
    """Makes the calls of a document, in its order."""
    shown = re.findall(r"^```sh\n(curl .*?)^```$", pathlib.Path(path).read_text(), re.MULTILINE | re.DOTALL)
    script = "".join(block for block in shown if "http://127.0.0.1:8080/" in block)
    script = re.sub(r"^curl ", "curl -sS --fail-with-body -o /dev/null ", script, flags=re.MULTILINE)
    if not script:
        sys.exit(f"{path} shows no calls")
    if subprocess.run(["bash", "-eu", "-c", script], env=dict(os.environ, CERTHOOK_API_KEY=KEY)).returncode != 0:
        sys.exit(f"a call that {path} shows is refused")
    print(f"answered: {script.count('curl ')} calls of {path}", file=sys.stderr)


RECIPES = {"hubspot": prove_hubspot, "zapier": prove_zapier, "n8n": prove_n8n}

for path in ("README.md", "docs/api.md", "docs/receiving.md", "docs/pulling.md"):
    prove_calls(path)
for uid in ("receiver-example", "crm"):
    call("DELETE", f"/endpoints/{uid}")
receivers = blocks("docs/receiving.md")
wanted = {}
for mark, (language, *packages), _ in receivers:
    wanted.setdefault(language, set()).update(packages)
if set(wanted) != {"python", "javascript"}:
    sys.exit(f"docs/receiving.md shows receivers in {sorted(wanted)}")
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for host, prove_step in RECIPES.items():
        ((mark, _, text),) = blocks(f"docs/recipes/{host}.md")
        prove_step(folder, text)
        print(f"verified: the code step of {mark}", file=sys.stderr)
    run = install(folder, wanted)
    for _, (language, *packages), text in receivers:
        prove(folder, run[language], text)
        for official, svix in SVIX.items():
            text = text.replace(official, svix)
        if "svix" not in text:
            sys.exit("the import of the official library was not found")
        prove(folder, run[language], text)
        print(f"verified: {language} with {', '.join(packages)}, and with svix", file=sys.stderr)
