"""Reads the .ics files of a folder with vobject and prints, as JSON, what it understands: see read_ical.mjs."""

import json
import sys
from datetime import timezone
from itertools import islice
from pathlib import Path

import vobject

MOST = 160
zones = vars(vobject.icalendar)["__tzidMap"]


def instant(time):
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def value(component, name):
    line = getattr(component, name, None)
    return None if line is None else line.value


def parameter(line, name):
    values = line.params.get(name)
    return values[0] if values else None


def person(line):
    if line is None:
        return None
    read = {"name": parameter(line, "CN"), "address": line.value}
    if line.name == "ATTENDEE":
        read |= {"role": parameter(line, "ROLE"), "partstat": parameter(line, "PARTSTAT")}
    return read


def occurrences(event):
    start, end = event.dtstart.value.astimezone(timezone.utc), event.dtend.value.astimezone(timezone.utc)
    rules = event.getrruleset()
    starts = [start] if rules is None else [each.astimezone(timezone.utc) for each in islice(rules, MOST)]
    # By DTEND each lasts the same exact time: RFC 5545, 3.8.5.3.
    return [[instant(each), instant(each + (end - start))] for each in starts]


def read(content):
    # It keeps the zones of a file for the next one, by their names.
    zones.clear()
    zones["UTC"] = vobject.icalendar.utc
    calendar = vobject.readOne(content)
    calendar.validate(raiseException=True)
    event = calendar.vevent
    attendees = event.contents.get("attendee", [])
    alarm = getattr(event, "valarm", None)
    return {
        "isAccepted": True,
        "method": value(calendar, "method"),
        "uid": value(event, "uid"),
        "sequence": int(value(event, "sequence")),
        "stamp": instant(value(event, "dtstamp")),
        "created": instant(value(event, "created")),
        "updated": instant(value(event, "last_modified")),
        "title": value(event, "summary"),
        "description": value(event, "description"),
        "location": value(event, "location"),
        "url": value(event, "url"),
        "class": value(event, "class"),
        "status": value(event, "status"),
        "organizer": person(getattr(event, "organizer", None)),
        "attendees": len(attendees),
        "attendee": person(attendees[0]) if attendees else None,
        "alarm": {
            "seconds": int(value(alarm, "trigger").total_seconds()),
            "action": value(alarm, "action"),
            "text": value(alarm, "description"),
        }
        if alarm
        else None,
        "start": instant(value(event, "dtstart")),
        "end": instant(value(event, "dtend")),
        "occurrences": occurrences(event),
    }


files = sorted(Path(sys.argv[1]).glob("*.ics"))
print(json.dumps({file.name: read(file.read_bytes().decode()) for file in files}, indent=1))
