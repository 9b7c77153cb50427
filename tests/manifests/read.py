"""Builds the overlays as an operator would, holds every object against Kubernetes' own schemas, and prints all as JSON.

    read.py KUBECTL FOLDER

{"overlays": {name: [object]}, "examples": {file: [object]}, "values": {file: …}, "alerts": … or null, "faults": [line]}

`faults` says what is wrong with form alone: YAML, schemas, keys given twice. What the objects mean is the tests' matter.
"""

import json
import pathlib
import subprocess
import sys

import jsonschema
import kubernetes_validate
import yaml

# The oldest version of Kubernetes that README.md names, and the newest that is known here.
VERSIONS = ["1.27", "1.37"]

# What operators have brought; the rest is Kubernetes' own.
CUSTOM = {(kind["apiVersion"], kind["kind"]): kind["schema"]
          for kind in json.loads(pathlib.Path(__file__).with_name("custom-kinds.json").read_text())}

# Values of charts: objects in no form of Kubernetes.
VALUES = "-values.yaml"


class OneOfEachKey(yaml.SafeLoader):
    """YAML forbids a key to be given twice; the library takes the last one without a word."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def documents(text):
    return [document for document in yaml.load_all(text, OneOfEachKey) if document is not None]


def faults_of(thing):
    """What Kubernetes, or the operator whose kind it is, would not take of an object."""
    key = (thing.get("apiVersion"), thing.get("kind"))
    if key in CUSTOM:
        validator = jsonschema.Draft202012Validator(CUSTOM[key])
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(thing)]
    faults = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            faults.append(f"{version}: {'.'.join(map(str, error.path))}: {error.message[:300]}")
        except (kubernetes_validate.InvalidSchemaError, kubernetes_validate.SchemaNotFoundError) as error:
            faults.append(f"{version}: {error}")
    return faults


def main():
    kubectl, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    read = {"overlays": {}, "examples": {}, "values": {}, "alerts": None, "faults": []}

    def fault(where, what):
        read["faults"].append(f"{where}: {what}")

    def take(where, things):
        for thing in things:
            for what in faults_of(thing):
                fault(f"{where}: {thing.get('kind')} {thing.get('metadata', {}).get('name')}", what)
        return things

    for path in sorted(folder.rglob("*.yaml")):
        where = str(path.relative_to(folder))
        try:
            things = documents(path.read_text())
        except yaml.YAMLError as error:
            fault(where, error)
            continue
        if path.parent.name == "examples":
            if where.endswith(VALUES):
                read["values"][path.name] = things[0]
            else:
                read["examples"][path.name] = take(where, things)
    for path in sorted((folder / "overlays").iterdir()):
        built = subprocess.run([kubectl, "kustomize", path], capture_output=True, text=True)
        # A deprecated field is a warning, and gone in the next version.
        if built.returncode != 0 or built.stderr:
            fault(path.name, built.stderr.strip())
        read["overlays"][path.name] = take(path.name, documents(built.stdout))
    alerts = folder.parent / "deploy/telemetry/alerts.yaml"
    if alerts.exists():
        read["alerts"] = yaml.safe_load(alerts.read_text())
    json.dump(read, sys.stdout)


main()
