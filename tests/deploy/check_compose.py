"""Looks at compose.yaml: its form, by the Compose specification, and what it promises. Prints what is wrong, one a line.

    check_compose.py COMPOSE ENVIRONMENT
"""

import json
import re
import sys
import tomllib
from pathlib import Path

import compose_spec
import yaml

VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
# Images whose programs can not ask themselves how they are, and containers that only do one thing.
UNASKED = {"collector", "jaeger", "admin", "migrate"}
# Only this one is for everybody.
PUBLIC = "load-balancer"

problems = []


def check(holds, problem):
    if not holds:
        problems.append(problem)


def interpolated(value, environment):
    """As Compose does it: ${NAME}, ${NAME:-default}, ${NAME:?}."""

    def replace(match):
        name, kind, default = match.groups()
        if environment.get(name):
            return environment[name]
        check(kind == "-", f"the environment lacks {name}")
        return default if kind == "-" else ""

    match value:
        case dict():
            return {key: interpolated(item, environment) for key, item in value.items()}
        case list():
            return [interpolated(item, environment) for item in value]
        case str():
            return VARIABLE.sub(replace, value)
        case _:
            return value


def seconds(duration):
    return int(re.fullmatch(r"(\d+)s", duration)[1])


def check_secrets(text, environment):
    for name, kind, default in VARIABLE.findall(text):
        if re.search("PASSWORD|SECRET|TOKEN", name):
            check(kind == "?" or default == "", f"the secret {name} has a default")
    required = {name for name, kind, _ in VARIABLE.findall(text) if kind == "?"}
    check(required == set(environment), f"required are {sorted(required)}, the example has {sorted(environment)}")
    for name, value in environment.items():
        check("demo" in value, f"the value of {name} in the example looks like a real one")


def check_service(name, service, compose, folder):
    check(service.get("read_only") is True, f"{name} can write to its root file system")
    check(service.get("cap_drop") == ["ALL"] and not service.get("cap_add"), f"{name} has capabilities")
    check("no-new-privileges:true" in service.get("security_opt", []), f"{name} can gain privileges")
    check("restart" in service, f"nobody starts {name} again")
    check("privileged" not in service and "pid" not in service, f"{name} reaches beyond its container")
    image = service.get("image", "")
    check(image.startswith("convene-") or re.search(r":v?\d+\.\d+", image), f"{name}: {image} is not pinned")
    check(name in UNASKED or "test" in service.get("healthcheck", {}), f"nobody asks {name} how it is")
    for dependency in service.get("depends_on", {}):
        check(dependency in compose["services"], f"{name} waits for {dependency}, which is no service")
    for network in service.get("networks", []):
        check(network in compose["networks"], f"{name} is on {network}, which is no network")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            check((folder / source).exists(), f"{name} mounts {source}, which is not there")
            check(volume.endswith(":ro"), f"{name} can write to {source}")
        else:
            check(source in compose["volumes"], f"{name} mounts {source}, which is no volume")
    for port in service.get("ports", []):
        check(name == PUBLIC or port.startswith("127.0.0.1:"), f"{name} is open to other machines at {port}")


def check_pods(services):
    for name in (name for name in services if re.match("gateway|worker", name)):
        pod, environment = services[name], services[name]["environment"]
        check("ports" not in pod, f"{name} publishes ports")
        # request-timeout is the default, 10 s; a gateway's last words take 9 s.
        least = seconds(environment["CONVENE_DRAIN_DELAY"]) + seconds(environment["CONVENE_DRAIN_TIMEOUT"]) + 19
        grace = seconds(pod["stop_grace_period"])
        check(grace > (least if "gateway" in name else least - 9), f"{name} is killed after {grace} s, draining takes {least}")
        check("watch" in pod["networks"], f"Prometheus does not reach {name}")
        check("data" not in pod["networks"] or "worker" in name, f"{name} reaches the database")
        check(environment["CONVENE_POD_NAME"] == name, f"{name} is called {environment['CONVENE_POD_NAME']}")


def check_targets(services, folder):
    found = set()
    for file in (folder / "telemetry/targets").glob("*.yaml"):
        for group in yaml.safe_load(file.read_text()):
            found |= {target.split(":")[0] for target in group["targets"]}
    expected = {name for name in services if re.match("gateway|worker|load-balancer", name)}
    check(found == expected, f"Prometheus asks {sorted(found)}, there are {sorted(expected)}")


def check_image(folder):
    recipe = (folder / "Dockerfile").read_text()
    members = tomllib.loads((folder.parent / "Cargo.toml").read_text())["workspace"]["members"]
    copied = re.findall(r"^COPY (\S+)/Cargo\.toml \S+/$", recipe, re.MULTILINE)
    check(sorted(copied) == sorted(members), f"the layer of dependencies is built of {copied}, members are {members}")
    check(f"for member in {' '.join(copied)};" in recipe, "the layer of dependencies has other stand-ins than manifests")
    for target in ("gateway", "worker"):
        stage = recipe.split(f"AS {target}\n")[1].split("\nFROM")[0]
        check(f'ENTRYPOINT ["/usr/local/bin/convene-{target}"]' in stage, f"{target} is not process 1")
        check(f'CMD ["/usr/local/bin/convene-{target}", "health"]' in stage, f"nobody asks the image of {target} how it is")
    check(re.search(r"^USER [1-9]\d*:[1-9]\d*$", recipe, re.MULTILINE), "the images run as root")
    check("--locked" in recipe and recipe.count("cargo build") == recipe.count("cargo build --release --locked"),
          "a build takes other versions than the lock file's")


def main(compose_file, environment_file):
    folder = Path(compose_file).parent
    text = Path(compose_file).read_text()
    lines = Path(environment_file).read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    check_secrets(text, environment)
    compose = interpolated(yaml.safe_load(text), environment)
    try:
        compose_spec.PyCompose.from_json(json.dumps(compose))
    except ValueError as error:
        problems.append(f"not by the Compose specification: {error}")
    services = compose["services"]
    for name, service in services.items():
        check_service(name, service, compose, folder)
    check_pods(services)
    check_targets(services, folder)
    check_image(folder)
    check(compose["networks"]["data"].get("internal") is True, "the database is not on a network of its own")
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main(*sys.argv[1:]))
