// Reads the .ics files of a folder with ical.js and prints what it understands, as JSON: file names, and for each of them
// the values that tests/it/ics.rs expects. Instants are in UTC; at most the first 160 occurrences.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [modules, folder] = process.argv.slice(2);
const ICAL = createRequire(resolve(modules, "package.json"))("ical.js");
const MOST = 160;

const instant = (seconds) => new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
const unix = (time) => time.toUnixTime();

function person(property) {
  if (!property) return null;
  const read = { name: property.getParameter("cn") ?? null, address: property.getFirstValue() };
  if (property.name === "attendee") {
    read.role = property.getParameter("role");
    read.partstat = property.getParameter("partstat");
  }
  return read;
}

function occurrences(event) {
  // RFC 5545, 3.8.5.3: each lasts the same exact time. ical.js adds it to what the clock shows at the start.
  const seconds = unix(event.endDate) - unix(event.startDate);
  const read = [];
  const iterator = event.iterator();
  while (read.length < MOST) {
    const start = event.isRecurring() || read.length === 0 ? iterator.next() : null;
    if (!start) break;
    read.push([instant(unix(start)), instant(unix(start) + seconds)]);
  }
  return read;
}

function read(text) {
  const calendar = new ICAL.Component(ICAL.parse(text));
  const component = calendar.getFirstSubcomponent("vevent");
  const event = new ICAL.Event(component);
  const value = (name) => component.getFirstPropertyValue(name);
  const alarm = component.getFirstSubcomponent("valarm");
  return {
    isAccepted: true,
    method: calendar.getFirstPropertyValue("method"),
    uid: event.uid,
    sequence: event.sequence,
    stamp: instant(unix(value("dtstamp"))),
    created: instant(unix(value("created"))),
    updated: instant(unix(value("last-modified"))),
    title: event.summary,
    description: event.description,
    location: event.location,
    url: value("url"),
    class: value("class"),
    status: value("status"),
    organizer: person(component.getFirstProperty("organizer")),
    attendees: event.attendees.length,
    attendee: person(event.attendees[0]),
    alarm: alarm && {
      seconds: alarm.getFirstPropertyValue("trigger").toSeconds(),
      action: alarm.getFirstPropertyValue("action"),
      text: alarm.getFirstPropertyValue("description"),
    },
    start: instant(unix(event.startDate)),
    end: instant(unix(event.endDate)),
    occurrences: occurrences(event),
  };
}

const files = readdirSync(folder).filter((name) => name.endsWith(".ics"));
const readings = files.map((name) => [name, read(readFileSync(join(folder, name), "utf8"))]);
console.log(JSON.stringify(Object.fromEntries(readings), null, 1));
