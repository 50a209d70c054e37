"""What schemathesis cannot know about a running gateway.

The document says which requests are well formed. Which cursors were given, which events are kept, which names lead to
public addresses, that is for the gateway to say. Values of that sort are left out of requests that are meant to be
right, or one that is right is put in their place. Requests that are meant to be wrong, and every check, stay as they
are.
"""

import schemathesis

URL = "http://127.0.0.1:9/webhooks"


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if isinstance(case.query, dict):
        case.query.pop("cursor", None)  # only a page before tells one
        case.query.pop("wait", None)  # needs order=asc, and takes its time
        if "source" in case.query:
            case.query["source"] = "numeral"  # the configuration tells which ones there are
    if case.headers is not None:
        case.headers.pop("Last-Event-ID", None)  # only an event before tells one
        case.headers.pop("Idempotency-Key", None)  # drawn anew for each call, which generated values are not
    body, path, method = case.body, case.operation.path, case.operation.method.lower()
    if method == "put":
        case.path_parameters["name"] = "crm"  # ids cannot be given
    if not isinstance(body, dict):
        return
    if isinstance(body.get("source"), str):
        body["source"] = "numeral"
    if path.startswith("/v1/customers/"):
        case.body = {"certificate_type_id": "CA_RESALE"}  # the vendor tells what it takes
    if isinstance(body.get("url"), str):
        body["url"] = URL  # the network tells what a name leads to
    if isinstance(body.get("start"), dict):
        body.pop("start")  # the event must be kept
    if isinstance(body.get("headers"), dict):
        # Some names are reserved, and upper and lower case are the same.
        body["headers"] = {f"x-{number}": value for number, value in enumerate(body["headers"].values())}
    if path.endswith("/secret/rotate"):
        body.pop("secret", None)  # must not be the one that signs
    if path.endswith("/removals"):
        body.pop("ids", None)  # their removal must be withheld
    if path == "/v1/keys":
        body.pop("expires_at", None)  # must be in the future
    if path.endswith("/replay"):
        body.pop("until", None)  # must not be before since
    if path == "/v1/endpoints/{name}" and method == "put":
        body.pop("uid", None)  # must be the one in the path
