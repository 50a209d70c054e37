"""The example crm_sync at the sandbox gateway, with no arguments: killed with SIGKILL while its table fills and once more when
it is in step, and started again each time. In the end its table must be what the gateway answers, or this ends with 1.

The only argument is the folder that its file goes to.
"""

import json
import pathlib
import subprocess
import sys
import time
import urllib.request

API = "http://127.0.0.1:8080/v1"
KEY = "sandbox-key-for-local-use-only"
TABLE = "http://127.0.0.1:9001/"
PATIENCE_SECONDS = 120

folder = pathlib.Path(sys.argv[1])
file = folder / "crm-sync.json"


def get(url, headers={}):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return json.load(answer)


def ask(path):
    return get(API + path, {"authorization": f"Bearer {KEY}"})


def build():
    command = ["cargo", "build", "--quiet", "--locked", "--example", "crm_sync", "--message-format", "json"]
    messages = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [json.loads(message).get("executable") for message in messages if '"executable":"' in message][-1]


def run(binary, until):
    """Runs it until something holds, and kills it."""
    running = subprocess.Popen([binary], cwd=folder)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not until():
            if running.poll() is not None or time.monotonic() > deadline:
                sys.exit("crm_sync does not get there")
            time.sleep(0.1)
    finally:
        running.kill()
        running.wait()


def kept():
    return json.loads(file.read_text()) if file.exists() else {}


def is_true():
    """Whether the table is what the gateway answers, and no less than it lists. Things go on happening meanwhile."""
    try:
        table = get(TABLE)
    except OSError:
        return False  # it has only just been started
    cursor, pairs = "", set()
    while cursor is not None:
        page = ask(f"/certificates?limit=100{cursor}")
        for certificate in page["data"]:
            customer = certificate["customer"]["id"]
            pairs |= {(customer, entry["jurisdiction_id"]) for entry in certificate["jurisdictions"]}
        cursor = f"&cursor={page['next_cursor']}" if page["has_more"] else None
    if pairs != {(customer, jurisdiction) for customer, there in table.items() for jurisdiction in there}:
        return False
    for customer, jurisdiction in pairs:
        truth = ask(f"/exemptions?customer_id={customer}&jurisdiction={jurisdiction}")["certificate_ids"]
        if sorted(truth) != sorted(get(TABLE)[customer].get(jurisdiction, [])):
            return False
    print(f"crm_sync: {len(pairs)} pairs of customer and jurisdiction, all as the gateway says", file=sys.stderr)
    return len(pairs) > 100


binary = build()
run(binary, lambda: kept().get("certificates"))
run(binary, lambda: kept().get("in_step"))
run(binary, is_true)
