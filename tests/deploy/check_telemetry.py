"""Looks at the configuration of the collector and of Grafana. Prints what is wrong, one a line.

    check_telemetry.py FOLDER
"""

import json
import sys
from pathlib import Path

import yaml

problems = []


def check(holds, problem):
    if not holds:
        problems.append(problem)


def check_collector(collector):
    kinds = ("receivers", "processors", "exporters")
    check(set(collector) == {*kinds, "extensions", "service"}, f"the collector has the parts {sorted(collector)}")
    used = {kind: set() for kind in kinds}
    for name, pipeline in collector["service"]["pipelines"].items():
        check(name.split("/")[0] in ("traces", "metrics", "logs"), f"{name} is no pipeline")
        check(pipeline["processors"][0] == "memory_limiter", f"the memory of the pipeline {name} is not bounded first")
        check(pipeline["processors"][-1] == "batch", f"the pipeline {name} does not send in batches")
        for kind in kinds:
            used[kind] |= set(pipeline[kind])
    for kind in kinds:
        check(used[kind] == set(collector[kind]), f"{kind}: used {sorted(used[kind])}, set up {sorted(collector[kind])}")
    check(set(collector["service"]["extensions"]) == set(collector["extensions"]), "an extension is not used")
    check(collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318"), "pods send to port 4318")
    limits = collector["processors"]["memory_limiter"]
    check(limits["spike_limit_mib"] < limits["limit_mib"] < 512, "the limits of memory do not fit the container's")


def check_grafana(folder):
    sources = yaml.safe_load((folder / "provisioning/datasources/convene.yaml").read_text())["datasources"]
    known = {source["uid"] for source in sources}
    dashboard = json.loads((folder / "dashboards/convene.json").read_text())
    taken, identifiers = {}, set()
    for panel in dashboard["panels"]:
        title = panel["title"]
        check(panel["id"] not in identifiers, f"two panels have the id {panel['id']}")
        identifiers.add(panel["id"])
        place = panel["gridPos"]
        check(place["x"] + place["w"] <= 24, f"{title} does not fit beside the others")
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                check((x, y) not in taken, f"{title} lies over {taken.get((x, y))}")
                taken[x, y] = title
        if panel["type"] == "row":
            continue
        check(panel["targets"], f"{title} asks for nothing")
        for target in panel["targets"]:
            check(target["datasource"]["uid"] in known, f"{title} asks a source that is not there")
    for provider in yaml.safe_load((folder / "provisioning/dashboards/convene.yaml").read_text())["providers"]:
        check(provider["options"]["path"] == "/etc/grafana/dashboards", "dashboards are looked for where none are mounted")


def main(folder):
    check_collector(yaml.safe_load((folder / "collector.yaml").read_text()))
    check_grafana(folder / "grafana")
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main(Path(sys.argv[1])))
