"""Reads the .ics files of a folder with icalendar and prints, as JSON, what it understands: see read_ical.mjs.

icalendar leaves recurrences to recurring-ical-events.
"""

import json
import sys
from datetime import timedelta, timezone
from pathlib import Path

import recurring_ical_events
from icalendar import Calendar

MOST = 160


def instant(time):
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def text(component, name):
    value = component.get(name)
    return None if value is None else str(value)


def person(address):
    if address is None:
        return None
    read = {"name": address.params.get("CN"), "address": str(address)}
    if "PARTSTAT" in address.params:
        read |= {"role": str(address.params["ROLE"]), "partstat": str(address.params["PARTSTAT"])}
    return read


def occurrences(calendar, event):
    # By DTEND each lasts the same exact time: RFC 5545, 3.8.5.3. Python subtracts what clocks show.
    seconds = event.end.astimezone(timezone.utc) - event.start.astimezone(timezone.utc)
    # All at once: asked for one after the other, it looks at ever more weeks for each.
    first = event.start.astimezone(timezone.utc)
    each = recurring_ical_events.of(calendar).between(first - timedelta(weeks=1), first + timedelta(weeks=MOST + 1))
    starts = sorted(one.start.astimezone(timezone.utc) for one in each)[:MOST]
    return [[instant(start), instant(start + seconds)] for start in starts]


def read(content):
    calendar = Calendar.from_ical(content)
    (event,) = calendar.events
    attendees = event.get("ATTENDEE", [])
    attendees = attendees if isinstance(attendees, list) else [attendees]
    alarms = event.walk("VALARM")
    errors = [str(error) for component in calendar.walk() for error in component.errors]
    return {
        "isAccepted": not errors,
        **({"errors": errors} if errors else {}),
        "method": text(calendar, "METHOD"),
        "uid": text(event, "UID"),
        "sequence": event["SEQUENCE"],
        "stamp": instant(event["DTSTAMP"].dt),
        "created": instant(event["CREATED"].dt),
        "updated": instant(event["LAST-MODIFIED"].dt),
        "title": text(event, "SUMMARY"),
        "description": text(event, "DESCRIPTION"),
        "location": text(event, "LOCATION"),
        "url": text(event, "URL"),
        "class": text(event, "CLASS"),
        "status": text(event, "STATUS"),
        "organizer": person(event.get("ORGANIZER")),
        "attendees": len(attendees),
        "attendee": person(attendees[0]) if attendees else None,
        "alarm": {
            "seconds": int(alarms[0]["TRIGGER"].dt.total_seconds()),
            "action": text(alarms[0], "ACTION"),
            "text": text(alarms[0], "DESCRIPTION"),
        }
        if alarms
        else None,
        "start": instant(event.start),
        "end": instant(event.end),
        "occurrences": occurrences(calendar, event),
    }


files = sorted(Path(sys.argv[1]).glob("*.ics"))
print(json.dumps({file.name: read(file.read_bytes()) for file in files}, indent=1))
