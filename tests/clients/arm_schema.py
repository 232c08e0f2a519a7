"""arm_schema.py SCHEMA RESOURCES: judges resources, a file with a JSON list whose expressions are evaluated already, by a JSON
schema of Azure's resource types. One line a fault; a type without a schema is told."""
import json
import sys

import jsonschema

with open(sys.argv[1]) as file:
    schema = json.load(file)
types = {key.split("@")[0].lower(): value for key, value in schema["resources"].items()}
judged = 0


def leaf(error):
    """Of alternatives, the fault that goes deepest: that of the alternative which was meant."""
    while error.context:
        error = max(error.context, key=lambda inner: (len(inner.absolute_path), inner.validator != "type"))
    return error


with open(sys.argv[2]) as file:
    resources = json.load(file)
for resource in resources:
    kind = resource["type"]
    if kind.lower() not in types:
        print("no schema for", kind)
        continue
    judged += 1
    whole = {**types[kind.lower()], "definitions": schema["definitions"]}
    for error in jsonschema.Draft7Validator(whole).iter_errors(resource):
        error = leaf(error)
        print("fault", kind, resource["name"], "/".join(map(str, error.absolute_path)), error.message[:200])
print(judged, "judged")
